"""The whole of params.yaml: the sections of all studies in one model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from tessera.balanced.params import BalancedParams
from tessera.bayesopt.params import BayesoptParams
from tessera.common import params
from tessera.common.params import Section
from tessera.data.params import DataParams
from tessera.puzzle.extras_params import ExtrasParams
from tessera.puzzle.params import PuzzleParams
from tessera.puzzle.studies.params import PuzzleStudiesParams
from tessera.tempotron.params import TempotronParams
from tessera.tsvm.params import TsvmParams


class Params(Section):
    """Every number that an experiment depends on."""

    seed: int = Field(ge=0, description="root of all random streams")
    data: DataParams
    puzzle: PuzzleParams
    puzzle_extras: ExtrasParams
    puzzle_studies: PuzzleStudiesParams
    tempotron: TempotronParams
    balanced: BalancedParams
    bayesopt: BayesoptParams
    tsvm: TsvmParams


def load(*paths: str | Path) -> Params:
    """Read params.yaml and overlays, each laid over those before it. Raises ValueError that tells every fault."""
    return params.load(Params, *paths)


def check(config: Mapping[str, Any], paths: Sequence[str | Path] = ()) -> Params:
    """Check parameters that were merged elsewhere; paths are the files they came from, for the errors."""
    return params.check(Params, config, [(str(path), params.read(path)) for path in paths])


def section(values: Params, *names: str, **others: Any) -> Any:
    """Sections as plain data: one by itself; several, or one and others, as one dictionary.

    Its keys are the last parts of the sections' names. Raises ValueError where there is no such section, or where two
    keys are the same.
    """
    plain = values.model_dump(mode="json")
    if len(names) == 1 and not others:
        return _one(plain, names[0])
    keys = [name.rpartition(".")[2] for name in names]
    if len({*keys, *others}) < len(keys) + len(others):
        raise ValueError(f"sections {', '.join(names)}: the last parts of their names must differ")
    return {key: _one(plain, name) for key, name in zip(keys, names, strict=True)} | others


def _one(values: Any, name: str) -> Any:
    for part in name.split("."):
        if not isinstance(values, dict) or part not in values:
            raise ValueError(f"params.yaml has no section {name}")
        values = values[part]
    return values
