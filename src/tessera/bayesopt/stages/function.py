"""Evaluate a test function: an objective that takes no time, for studies that show or test the workflow."""

from pathlib import Path
from typing import Any

from tessera.common import files, stage
from tessera.common.params import Section


class Params(Section):
    """A function of bayesopt.functions, and its variables by name."""

    function: str
    x: dict[str, Any]


def main(params: Params, metrics: Path) -> None:
    """Write {"value": f(x), "regret": f(x) - minimum}, rounded to the 12 decimals on which processors agree."""
    from tessera.bayesopt import functions

    function = functions.get(params.function)
    function.space.to_cube(params.x)
    outcome = {"value": function(params.x), "regret": function.regret(params.x)}
    files.write_json(metrics, {name: round(value, 12) for name, value in outcome.items()})


if __name__ == "__main__":
    stage.run(main)
