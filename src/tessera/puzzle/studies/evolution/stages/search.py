"""Search children by their true KL, each of them run, within one budget; and measure the best on test text."""

from pathlib import Path

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import ComputeParams, ScoresParams
from tessera.puzzle.search import SearchParams
from tessera.puzzle.studies.evolution.params import EvolutionParams, Search


class Params(Section):
    """The study, the space, the program's search, the scores' text, and the seed of the whole."""

    evolution: EvolutionParams
    space: Space
    search: SearchParams
    scores: ScoresParams
    compute: ComputeParams
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

    ledger is the file from which an interrupted search resumes; a finished one deletes it.
    """
    from tessera.puzzle import compute
    from tessera.puzzle.models import loading
    from tessera.puzzle.scores.reference import Reference
    from tessera.puzzle.search import block_library as libraries
    from tessera.puzzle.studies.evolution.evolve import scoring_passes
    from tessera.puzzle.studies.evolution.search import Problem, Runner
    from tessera.puzzle.text import read

    settings, length = params.evolution, params.scores.window
    choices = libraries.read(block_library)
    problem = Problem(choices, params.search.objective, settings)
    # Random search and evolution begin with the same children.
    generator = randomness.generator(params.seed, "puzzle_evolution", replicate)
    seed = randomness.seed(params.seed, "puzzle", "scores")
    seen = read(tokens, "valid", length, settings.windows, seed)
    unseen = read(tokens, "test", length, settings.test_windows, randomness.seed(params.seed, "puzzle", "frontier"))
    device = compute.start(params.compute)
    teacher = loading.load(parent, device).requires_grad_(False)
    runner = Runner(teacher, params.space, library, seen.tokens, seen.document, seen.mask)
    losses = runner.ledger(ledger)
    title = f"{search} search {replicate}"
    children = list(progress.track(problem.run(search, losses, generator), title, problem.evaluations(search)))
    best, summary = problem.summary(children, losses)
    test = Reference(teacher, unseen.tokens, unseen.document, unseen.mask)
    summary["best"]["test"] = test.measure(runner.child(best))
    # What the program knows instead: its scores, whose cost is given in children of this search.
    scores_children = scoring_passes(choices) * params.scores.windows / settings.windows
    files.write_json(metrics, {"search": search, "replicate": replicate, "scores_children": scores_children} | summary)
    losses.remove()


if __name__ == "__main__":
    stage.run(main)
