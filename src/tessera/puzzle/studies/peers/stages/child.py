"""Prune the parent by one peer's rule, heal it as all are healed, and evaluate it before and after."""

from pathlib import Path

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.data.params import DataParams
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import CalibrationParams, EvaluateParams, HealParams
from tessera.puzzle.search import SearchParams
from tessera.puzzle.studies.peers.params import Peer, PeersParams

IN_DOMAIN, OUT_OF_DOMAIN = "in_domain", "out_of_domain"


class Params(Section):
    """The comparison, and what of the main chain all share."""

    peers: PeersParams
    space: Space
    search: SearchParams
    calibration: CalibrationParams
    heal: HealParams
    evaluate: EvaluateParams
    data: DataParams
    seed: int


def main(
    params: Params,
    peer: Peer,
    parent: Path,
    tokens: Path,
    library: list[Path],
    block_library: Path,
    costs: Path,
    statistics: Path,
    metrics: Path,
    teacher_cache: Path | None = None,
) -> None:
    """Write the child's shape, predicted time, healing curve, and state -> domain -> metrics.

    teacher_cache is where the parent's hidden states are kept under heal.teacher = cache.
    """
    import copy
    from dataclasses import asdict

    import numpy as np
    import torch

    from tessera.data.tokens import windows
    from tessera.puzzle import search
    from tessera.puzzle.child import assemble
    from tessera.puzzle.heal.train import heal
    from tessera.puzzle.models import architecture as architectures
    from tessera.puzzle.models import blocks
    from tessera.puzzle.scores.evaluate import evaluate
    from tessera.puzzle.search import block_library as libraries
    from tessera.puzzle.search import budgets
    from tessera.puzzle.studies.peers import pruning as peers

    settings, architecture = params.peers, architectures.read(parent)
    teacher = blocks.load(parent).requires_grad_(False)
    known = libraries.read(block_library)
    budget = budgets.runtime_for_speedup(known, settings.speedup)
    times = peers.Times(files.read_parquet(costs), params.space, architecture)
    found = peers.Statistics(**files.load_tensors(statistics))
    width, count = architecture.intermediate_size, architecture.num_layers
    choice: list[str] = []
    if peer == "puzzle":
        best = search.solve(known, params.search.objective, {budgets.RUNTIME: budget})
        if best.status == "infeasible":
            raise ValueError(f"peers.speedup = {settings.speedup}: no child of the library is so fast")
        choice, runtime = list(best.choice.values()), best.costs[budgets.RUNTIME]
        child = assemble(teacher, parent, params.space, library, choice)
    elif peer == "depth":
        dropped = peers.dropped_layers(found.influence, times, width, budget)
        runtime = times.of([width] * count, [i not in dropped for i in range(count)])
        child = peers.pruned(teacher, architecture, dropped=dropped)
    else:
        if peer == "width":
            channels = peers.uniform_channels(found.magnitude, times, budget)
        else:
            down = [teacher.state_dict()[f"model.layers.{i}.mlp.down_proj.weight"] for i in range(count)]
            channels = peers.fluctuating_channels(found.variance, down, times, budget)
        runtime = times.of([len(kept) for kept in channels])
        child = peers.pruned(teacher, architecture, channels=channels, mean=found.mean if peer == "flap" else None)

    assembled = copy.deepcopy(child)
    window = params.calibration.window
    text = windows(
        tokens, "train", window + 1, max(1, params.calibration.tokens // window),
        randomness.seed(params.seed, "puzzle", "heal"),
    )  # fmt: skip
    order = randomness.torch_generator(params.seed, "puzzle", "heal", "order")
    curve = heal(
        teacher, child, torch.from_numpy(text.tokens).long(), params.heal, params.heal.equal, order,
        track=lambda steps: progress.track(steps, f"healing {peer}"), teacher_cache=teacher_cache,
    )  # fmt: skip
    domains: dict[str, tuple[str, list[str]]] = {
        IN_DOMAIN: ("test", [*params.data.text.sources]),
        OUT_OF_DOMAIN: ("ood", [*params.data.text.out_of_domain]),
    }
    seed, length = randomness.seed(params.seed, "puzzle", "evaluate"), params.evaluate.window + 1
    parts = [
        windows(tokens, split, length, params.evaluate.windows, seed, [source])
        for split, sources in domains.values()
        for source in sources
    ]
    evaluated = evaluate(
        teacher,
        {"assembled": assembled, "equal": child},
        torch.from_numpy(np.concatenate([t.tokens for t in parts])).long(),
        np.concatenate([t.source for t in parts]),
        np.concatenate([t.document for t in parts]),
        {group: sources for group, (_, sources) in domains.items() if sources},
        lambda rows: progress.track(rows, f"evaluate {peer}"),
    )
    own = libraries.total(known, libraries.parent_choice(known), budgets.RUNTIME)
    files.write_json(
        metrics,
        {
            "peer": peer,
            "target": settings.target,
            "blocks": choice,
            "layers": [[asdict(attention), asdict(ffn)] for attention, ffn in child.spec.layers],
            "mlp_bias": child.spec.mlp_bias,
            "parameters": sum(p.numel() for p in child.parameters()),
            "budget_ms": budget,
            "runtime_ms": runtime,
            "predicted_speedup": own / runtime,
            "curve": asdict(curve),
            "states": evaluated,
        },
    )


if __name__ == "__main__":
    stage.run(main)
