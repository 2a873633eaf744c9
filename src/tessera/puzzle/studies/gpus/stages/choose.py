"""Search the parent's scores with the times of several GPUs."""

from dataclasses import asdict
from pathlib import Path

from tessera.common import files, progress, stage
from tessera.common.params import Section
from tessera.puzzle.models.space import Space
from tessera.puzzle.studies.gpus.params import GpusParams


class Params(Section):
    """The GPUs, and the space of the scores."""

    gpus: GpusParams
    space: Space


def main(params: Params, scores: list[Path], config: Path, choices: Path) -> None:
    """Write the children of every shape, GPU and type; config is the parent's."""
    from tessera.puzzle.costs import profile
    from tessera.puzzle.models import architecture
    from tessera.puzzle.studies.gpus.choices import choices as choose

    layers = {int(layer): parts for path in scores for layer, parts in files.read_json(path).items()}
    shapes = {"parent": architecture.from_config(files.read_json(config), config)}
    shapes |= {name: profile.shape(name) for name in params.gpus.shapes}
    found = choose(
        [layers[layer] for layer in sorted(layers)],
        shapes,
        params.space,
        params.gpus,
        lambda every: progress.track(every, "children on GPUs"),
    )
    files.write_json(choices, [asdict(one) for one in found])


if __name__ == "__main__":
    stage.run(main)
