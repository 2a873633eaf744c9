"""Prune the parent by one peer's rule, heal it as all are healed, and evaluate it before and after."""

from pathlib import Path

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.data.params import DataParams
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import CalibrationParams, ComputeParams, EvaluateParams, HealParams
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
    compute: ComputeParams
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
    """Write the child's predicted time, healing curve, and state -> domain -> metrics.

    It is described as its config.json would be, under puzzle_blocks, and by the FFN channels of its layers.
    teacher_cache is where the parent's hidden states are kept if heal.teacher = cache.
    """
    import copy
    from dataclasses import asdict

    from tessera.puzzle import compute
    from tessera.puzzle.costs.lookup import of_layer
    from tessera.puzzle.heal.train import heal
    from tessera.puzzle.models import loading
    from tessera.puzzle.models.loading import BLOCKS
    from tessera.puzzle.scores.evaluate import evaluate
    from tessera.puzzle.search import block_library as libraries
    from tessera.puzzle.search import budgets
    from tessera.puzzle.studies.peers import child as science
    from tessera.puzzle.studies.peers import pruning
    from tessera.puzzle.text import joined, read

    device = compute.start(params.compute)
    settings, teacher = params.peers, loading.load(parent, device).requires_grad_(False)
    choices = libraries.read(block_library)
    budget = budgets.runtime_for_speedup(choices, settings.speedup)
    if peer == "puzzle":
        child = science.by_puzzle(teacher, params.space, library, choices, params.search.objective, settings.speedup)
    else:
        known = pruning.Statistics(**files.load_tensors(statistics))
        table, (layers, width) = files.read_parquet(costs), known.mean.shape
        times = pruning.Times([of_layer(table, layer) for layer in range(layers)], params.space, width)
        child = science.by_rule(peer, teacher, known, times, budget)
    assembled = copy.deepcopy(child.model)
    window = params.calibration.window
    count = max(1, params.calibration.tokens // window)
    text = read(tokens, "train", window, count, randomness.seed(params.seed, "puzzle", "heal"))
    curve = heal(
        teacher,
        child.model,
        text.tokens,
        params.heal,
        params.heal.equal,
        randomness.torch_generator(params.seed, "puzzle", "heal", "order"),
        track=lambda steps: progress.track(steps, f"healing {peer}"),
        teacher_cache=teacher_cache,
        mask=text.mask,
    )
    domains: dict[str, tuple[str, list[str]]] = {
        IN_DOMAIN: ("test", [*params.data.text.sources]),
        OUT_OF_DOMAIN: ("ood", [*params.data.text.out_of_domain]),
    }
    seed, evaluation = randomness.seed(params.seed, "puzzle", "evaluate"), params.evaluate
    test = joined(
        [
            read(tokens, split, evaluation.window, evaluation.windows, seed, [source])
            for split, sources in domains.values()
            for source in sources
        ]
    )
    states = evaluate(
        teacher,
        {"assembled": assembled, "equal": child.model},
        test.tokens,
        test.source,
        test.document,
        {group: sources for group, (_, sources) in domains.items() if sources},
        lambda rows: progress.track(rows, f"evaluate {peer}"),
        test.mask,
    )
    files.write_json(
        metrics,
        {
            "peer": peer,
            "target": costs.stem,
            "blocks": child.blocks,
            BLOCKS: getattr(child.model.config, BLOCKS),
            "channels": science.channels(child.model),
            "parameters": sum(p.numel() for p in child.model.parameters()),
            "budget_ms": budget,
            "runtime_ms": child.runtime_ms,
            "predicted_speedup": science.parent_time(choices) / child.runtime_ms,
            "curve": asdict(curve),
            "states": states,
        },
    )


if __name__ == "__main__":
    stage.run(main)
