"""Evaluate one child against the parent: as assembled, refitted, and after each healing."""

from pathlib import Path

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.data.params import DataParams
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import ComputeParams, EvaluateParams

IN_DOMAIN, OUT_OF_DOMAIN = "in_domain", "out_of_domain"


class Params(Section):
    """The space, the evaluation and its text, and the seed of the whole study."""

    space: Space
    evaluate: EvaluateParams
    data: DataParams
    compute: ComputeParams
    seed: int


def main(
    params: Params,
    method: str,
    parent: Path,
    tokens: Path,
    choices: Path,
    library: list[Path],
    children: list[Path],
    states: list[str],
    metrics: Path,
) -> None:
    """Write state -> domain -> metrics; states name the refitted and healed children.

    `assembled` is the child before both.
    """
    from tessera.puzzle import child as assembly
    from tessera.puzzle import compute
    from tessera.puzzle.models import architecture as architectures
    from tessera.puzzle.models import loading, memory
    from tessera.puzzle.scores.evaluate import evaluate
    from tessera.puzzle.text import joined, read

    row = assembly.chosen(choices, method)
    devices = compute.start_all(params.compute)
    title = f"evaluate {choices.parent.name}/{method}"
    needs = memory.evaluation(architectures.read(parent), params.evaluate.window, 1 + len(children))
    memory.announce(title, needs, devices, metrics)
    teacher = loading.load(parent, devices).requires_grad_(False)
    models = {"assembled": assembly.assemble(teacher, params.space, library, row["blocks"])}
    models |= {
        state: loading.load(path, devices).requires_grad_(False) for state, path in zip(states, children, strict=True)
    }
    settings = params.evaluate
    domains: dict[str, tuple[str, list[str]]] = {
        IN_DOMAIN: ("test", [*params.data.text.sources]),
        OUT_OF_DOMAIN: ("ood", [*params.data.text.out_of_domain]),
    }
    seed = randomness.seed(params.seed, "puzzle", "evaluate")
    text = joined(
        [
            read(tokens, split, settings.window, settings.windows, seed, [source])
            for split, sources in domains.values()
            for source in sources
        ]
    )
    results = evaluate(
        teacher,
        models,
        text.tokens,
        text.source,
        text.document,
        {group: sources for group, (_, sources) in domains.items() if sources},
        lambda rows: progress.track(rows, title),
        text.mask,
    )
    files.write_json(metrics, {"method": method, "target": choices.parent.name, "states": results, "choice": row})


if __name__ == "__main__":
    stage.run(main)
