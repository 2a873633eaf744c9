"""How often the search chooses differently when its scores are drawn again within their standard errors."""

from dataclasses import asdict
from pathlib import Path

from tessera.common import files, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.studies.sensitivity.params import SensitivityParams


class Params(Section):
    """The draws, and the seed of the whole study."""

    sensitivity: SensitivityParams
    seed: int


def main(params: Params, target: str, scores: list[Path], costs: Path, sensitivity: Path) -> None:
    """Write the effects of resampling at every speed-up of one target."""
    from tessera.puzzle.studies.sensitivity import resample as science

    layers = {int(layer): parts for path in scores for layer, parts in files.read_json(path).items()}
    settings = params.sensitivity
    points = science.sensitivity(
        [layers[layer] for layer in sorted(layers)],
        files.read_parquet(costs),
        settings.metric,
        settings.speedups,
        [randomness.generator(params.seed, "puzzle_sensitivity", target, draw) for draw in range(settings.draws)],
    )
    about = {"target": target, "metric": settings.metric, "draws": settings.draws}
    files.write_json(sensitivity, about | {"points": [asdict(point) for point in points]})


if __name__ == "__main__":
    stage.run(main)
