"""How often the search would choose otherwise, were its scores drawn again within their standard errors."""

from dataclasses import asdict
from pathlib import Path

from tessera.common import files, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.extras_params import SensitivityParams


class Params(Section):
    """sensitivity, and the seed of the whole study."""

    sensitivity: SensitivityParams
    seed: int


def main(params: Params, target: str, scores: list[Path], costs: Path, sensitivity: Path) -> None:
    """Write what resampling does at every speed-up of one target."""
    from tessera.puzzle.studies.sensitivity import resample as science

    layers = {int(layer): found for path in scores for layer, found in files.read_json(path).items()}
    wanted = params.sensitivity
    found = science.sensitivity(
        [layers[layer] for layer in sorted(layers)],
        files.read_parquet(costs),
        wanted.metric,
        wanted.speedups,
        [randomness.generator(params.seed, "puzzle_sensitivity", target, draw) for draw in range(wanted.draws)],
    )
    about = {"target": target, "metric": wanted.metric, "draws": wanted.draws}
    files.write_json(sensitivity, about | {"points": [asdict(one) for one in found]})


if __name__ == "__main__":
    stage.run(main)
