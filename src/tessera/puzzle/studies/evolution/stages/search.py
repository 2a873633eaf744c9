"""Search children by their true KL, each of them run, within one budget; and measure the best on test text."""

from pathlib import Path

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import ScoresParams
from tessera.puzzle.search import Choice, SearchParams
from tessera.puzzle.studies.evolution.params import EvolutionParams, Search


class Params(Section):
    """The study, the space, the program's search, the scores' text, and the seed of the whole."""

    evolution: EvolutionParams
    space: Space
    search: SearchParams
    scores: ScoresParams
    seed: int


def main(
    params: Params,
    search: Search,
    replicate: int,
    parent: Path,
    tokens: Path,
    library: list[Path],
    block_library: Path,
    ledger: Path,
    metrics: Path,
) -> None:
    """Write the children in the order in which they were run, and the best one on test text.

    ledger is the file from which a killed search goes on; a finished one deletes it.
    """
    import hashlib

    import torch

    from tessera.data.tokens import windows
    from tessera.puzzle import search as program
    from tessera.puzzle.child import assemble, layer_file
    from tessera.puzzle.heal.teacher import digest
    from tessera.puzzle.models import architecture as architectures
    from tessera.puzzle.models import blocks
    from tessera.puzzle.scores.reference import Reference
    from tessera.puzzle.search import block_library as libraries
    from tessera.puzzle.search import budgets
    from tessera.puzzle.studies.evolution import evolve as evolution

    settings, length = params.evolution, params.scores.window + 1
    known = libraries.read(block_library)
    limits = {budgets.RUNTIME: budgets.runtime_for_speedup(known, settings.speedup)}
    # Random search and evolution begin with the same children.
    generator = randomness.generator(params.seed, "puzzle_evolution", replicate)
    optimum = program.solve(known, params.search.objective, limits)
    if not optimum.choice:
        raise ValueError(f"evolution.speedup = {settings.speedup:g}: no child of the library is so fast")
    evaluations = 1 if search == "program" else settings.evaluations
    start: list[Choice] = [optimum.choice]
    if search in ("random", "evolution"):
        count = evaluations if search == "random" else settings.population
        start = [*evolution.draw(known, params.search.objective, limits, count, generator)]

    teacher = blocks.load(parent).requires_grad_(False)
    seed = randomness.seed(params.seed, "puzzle", "scores")
    seen = windows(tokens, "valid", length, settings.windows, seed)
    unseen = windows(tokens, "test", length, settings.test_windows, randomness.seed(params.seed, "puzzle", "frontier"))
    text = torch.from_numpy(seen.tokens).long()
    reference = Reference(teacher, text, seen.document)

    def measure(choice: Choice) -> dict[str, float]:
        found = reference.measure(assemble(teacher, parent, params.space, library, list(choice.values())))
        return {key: found[key] for key in ("kl_div", "kl_div_se")}

    # All that a child's KL depends on.
    layers = (layer_file(library, layer) for layer in range(architectures.read(parent).num_layers))
    identity = {
        "parent": digest(teacher.state_dict()),
        "text": digest({"tokens": text, "documents": torch.from_numpy(seen.document)}),
        "library": [hashlib.sha256(path.read_bytes()).hexdigest() for path in layers],
        "space": params.space.model_dump(mode="json"),
        "torch": f"{torch.__version__}, {torch.get_num_threads()} threads",
    }
    run = evolution.Ledger(ledger, identity, measure)
    children = evolution.evolve(
        known,
        run,
        limits,
        start,
        generator,
        evaluations,
        settings.population,
        settings.offspring,
        settings.mutations,
    )
    title = f"{search} search {replicate}"
    found = list(progress.track(children, title, evaluations))
    best = min(found, key=lambda one: one.loss)
    tested = Reference(teacher, torch.from_numpy(unseen.tokens).long(), unseen.document).measure(
        assemble(teacher, parent, params.space, library, list(best.choice.values()))
    )
    files.write_json(
        metrics,
        {
            "search": search,
            "replicate": replicate,
            "children": [run.row(one.choice) for one in found],
            "best": {
                **run.row(best.choice),
                "predicted": libraries.total(known, best.choice, params.search.objective),
                "runtime_ms": libraries.total(known, best.choice, budgets.RUNTIME),
                "test": tested,
            },
            "budget_ms": limits[budgets.RUNTIME],
            # What the program was told instead: its scores, in children of this search.
            "scores_children": evolution.scoring_passes(known) * params.scores.windows / settings.windows,
        },
    )
    run.remove()


if __name__ == "__main__":
    stage.run(main)
