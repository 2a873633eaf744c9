"""Make the cost table of one target: time, memory and parameters of every variant on its hardware and workload."""

import datetime
from pathlib import Path

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.puzzle.costs.params import TIMED, CostTarget
from tessera.puzzle.models.space import Space


class Params(Section):
    """The search space and the target."""

    space: Space
    target: CostTarget


def main(params: Params, config: Path, table: Path, info: Path) -> None:
    """Write the table and info: what the table describes, and its date if it was measured. config is the parent's."""
    from tessera.puzzle.costs import tables
    from tessera.puzzle.models import architecture

    shape = architecture.from_config(files.read_json(config), config)
    costs_table = tables.of_target(shape, params.space, params.target)
    about = {
        "target": params.target.model_dump(),
        "hardware": costs_table["hardware"].iloc[0],
        "software": costs_table["software"].iloc[0],
    }
    if params.target.source in TIMED:
        about["date"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    files.write_parquet(table, costs_table)
    files.write_json(info, about)


if __name__ == "__main__":
    stage.run(main)
