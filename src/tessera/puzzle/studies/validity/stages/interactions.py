"""Measure how the effects of exchanged subblocks meet in the logits, and their scores by every metric."""

from pathlib import Path

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import ComputeParams, ScoresParams
from tessera.puzzle.studies.validity.params import ValidityParams


class Params(Section):
    """The study, the space, the scores' text, and the seed of the whole."""

    validity: ValidityParams
    space: Space
    scores: ScoresParams
    compute: ComputeParams
    seed: int


def main(params: Params, parent: Path, tokens: Path, library: list[Path], gram: Path, scores: Path) -> None:
    """Write the inner products of all exchanges' effects (n, n), and layer -> subblock -> variant -> metrics.

    The order of the products is that of quadratic.labels(scores).
    """
    from torch import nn

    from tessera.puzzle import compute
    from tessera.puzzle.child import variants_of
    from tessera.puzzle.models import loading
    from tessera.puzzle.scores.replace_one import summarised
    from tessera.puzzle.studies.validity.interactions import Label, responses
    from tessera.puzzle.text import read

    device = compute.start(params.compute)
    model = loading.load(parent, device).requires_grad_(False)
    modules: dict[Label, nn.Module | None] = {
        (layer, part, name): module
        for layer, parts in variants_of(model, params.space, library, range(len(model.layers))).items()
        for part, named in parts.items()
        for name, module in sorted(named.items())
    }
    count = min(params.validity.correction.windows, params.scores.windows)
    seed = randomness.seed(params.seed, "puzzle", "scores")
    text = read(tokens, "valid", params.scores.window, count, seed)
    products, series = responses(
        model, modules, text.tokens, lambda work: progress.track(work, "interactions"), text.mask
    )
    counts = None if text.mask is None else text.mask.sum(1).numpy()
    metrics: dict[int, dict[str, dict[str, dict[str, float | None]]]] = {}
    for (layer, part, name), by_window in zip(modules, series, strict=True):
        parts = metrics.setdefault(layer, {"attention": {}, "ffn": {}})
        parts[part][name] = summarised(by_window, text.document, counts)
    files.write_npy(gram, products)
    files.write_json(scores, metrics)


if __name__ == "__main__":
    stage.run(main)
