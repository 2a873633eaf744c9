"""Costs of every variant in one type of weights, in llama.cpp on the CPU at hand."""

import datetime
from pathlib import Path

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.puzzle.models.space import Space
from tessera.puzzle.serve.gguf_types import Dtype
from tessera.puzzle.studies.bits.params import BitsParams


class Params(Section):
    """The study and the space."""

    bits: BitsParams
    space: Space


def main(params: Params, dtype: Dtype, config: Path, table: Path, info: Path) -> None:
    """Write the cost table of a type, and info: what it describes, and its date. config is the parent's."""
    from tessera.puzzle.costs import tables
    from tessera.puzzle.models import architecture

    shape = architecture.from_config(files.read_json(config), config)
    found = tables.of_target(shape, params.space, params.bits.costs(dtype))
    about = {"hardware": found["hardware"].iloc[0], "software": found["software"].iloc[0]}
    about["date"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    files.write_parquet(table, found)
    files.write_json(info, about)


if __name__ == "__main__":
    stage.run(main)
