"""Time the children of all peers and the parent on this CPU, in turn in one process; memory is not measured."""

from pathlib import Path

from tessera.common import files, progress, stage
from tessera.common.params import Section
from tessera.puzzle.costs.params import CostsParams
from tessera.puzzle.studies.peers.params import PeersParams


class Params(Section):
    """The comparison, and the targets, of which the first one measured on a CPU is served."""

    peers: PeersParams
    costs: CostsParams


def main(params: Params, parent: Path, children: list[Path], metrics: Path) -> None:
    """Write times and speed-ups of the parent and of every child, of which only the shape matters here."""
    import dataclasses

    from tessera.puzzle.models import architecture as architectures
    from tessera.puzzle.models import blocks
    from tessera.puzzle.models.model import AttentionSpec, FFNSpec, LanguageModel
    from tessera.puzzle.models.space import PARENT
    from tessera.puzzle.models.specs import model_spec
    from tessera.puzzle.serve import speed

    name, target = speed.served(params.costs)
    architecture = architectures.read(parent)
    models = {PARENT: blocks.load(parent).requires_grad_(False)}
    for path in children:
        row = files.read_json(path)
        layers = [(AttentionSpec(**attention), FFNSpec(**ffn)) for attention, ffn in row["layers"]]
        spec = dataclasses.replace(model_spec(architecture, layers), mlp_bias=row["mlp_bias"])
        models[row["peer"]] = LanguageModel(spec).requires_grad_(False)
    taken = speed.times(models, target, params.peers.repeats, lambda rounds: progress.track(rounds, "speed of peers"))
    files.write_json(
        metrics,
        {
            "target": name,
            "workload": target.workload.model_dump(),
            "repeats": params.peers.repeats,
            "models": {
                key: {
                    "measured": speed.summary(times, target.workload),
                    "speedup": speed.speedups(taken[PARENT], times),
                }
                for key, times in taken.items()
            },
        },
    )


if __name__ == "__main__":
    stage.run(main)
