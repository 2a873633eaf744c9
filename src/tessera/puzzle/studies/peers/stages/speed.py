"""Time the children of all peers and the parent on this machine, in turn in one process; memory is not measured."""

from pathlib import Path

from tessera.common import files, progress, stage
from tessera.common.params import Section
from tessera.puzzle.costs.params import CostsParams
from tessera.puzzle.params import ComputeParams
from tessera.puzzle.studies.peers.params import PeersParams


class Params(Section):
    """The comparison; the targets; the device that serves if none of them is measured."""

    peers: PeersParams
    costs: CostsParams
    compute: ComputeParams


def main(params: Params, parent: Path, children: list[Path], metrics: Path) -> None:
    """Write times and speed-ups of the parent and of every child, of which only the shape matters here.

    The workload is that of the children's target if it is measured, else that of the first that is.
    """
    import torch

    from tessera.puzzle.child import exchanged
    from tessera.puzzle.models import variants
    from tessera.puzzle.models.space import PARENT
    from tessera.puzzle.serve import speed

    rows = [files.read_json(path) for path in children]
    name, target = speed.served(params.costs, params.compute, rows[0]["target"])
    if not params.costs.measured:
        target = speed.fitted([parent] * (1 + len(children)), target)
    whole = speed.load(parent, target)
    weight = next(whole.parameters())
    models = {PARENT: whole}
    for row in rows:
        replaced = {}
        for layer, block in zip(whole.layers, row["puzzle_blocks"], strict=True):
            for place, part in block.items():
                if part:
                    module = (
                        variants.build(layer, whole.config, part, place).to(weight.dtype).to_empty(device=weight.device)
                    )
                    for drawn in module.parameters():
                        torch.nn.init.normal_(drawn, std=0.02)
                    replaced[layer.index, place] = module, part
        models[row["peer"]] = exchanged(whole, replaced)
    taken = speed.times(models, target, params.peers.repeats, lambda rounds: progress.track(rounds, "speed of peers"))
    timed = {
        key: {"measured": speed.summary(times, target.workload), "speedup": speed.speedups(taken[PARENT], times)}
        for key, times in taken.items()
    }
    files.write_json(metrics, {"target": name} | speed.about(target, params.peers.repeats) | {"models": timed})


if __name__ == "__main__":
    stage.run(main)
