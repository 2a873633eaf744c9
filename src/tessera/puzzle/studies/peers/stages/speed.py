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
    import torch

    from tessera.puzzle.child import exchanged
    from tessera.puzzle.models import loading, variants
    from tessera.puzzle.models.space import PARENT
    from tessera.puzzle.serve import speed

    name, target = speed.served(params.costs)
    whole = loading.load(parent).requires_grad_(False)
    models = {PARENT: whole}
    for path in children:
        row = files.read_json(path)
        replaced = {}
        for layer, block in zip(whole.layers, row["puzzle_blocks"], strict=True):
            for place, part in block.items():
                if part:
                    module = variants.build(layer, whole.config, part, place).to_empty(device="cpu")
                    for weight in module.parameters():
                        torch.nn.init.normal_(weight, std=0.02)
                    replaced[layer.index, place] = module, part
        models[row["peer"]] = exchanged(whole, replaced)
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
