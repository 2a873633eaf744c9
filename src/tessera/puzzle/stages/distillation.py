"""Measure how close distillation brings one small child to its parent: the objective by which healing is tuned."""

from pathlib import Path

from tessera.common import files, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.child_params import ChildParams
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import ComputeParams, HealParams, LibraryParams


class Params(Section):
    """The child, the parts of the chain that make it, and the seed of the whole study."""

    space: Space
    library: LibraryParams
    heal: HealParams
    child: ChildParams
    compute: ComputeParams
    seed: int


def main(params: Params, parent: Path, tokens: Path, library: Path, metrics: Path) -> None:
    """Write the child's KL divergence from the parent (nats per token), before and after healing, and its losses.

    library is a directory that the variants are written to, for the child to be assembled from; next to it is the
    cache of heal.teacher = cache.
    """
    from tessera.puzzle import child as children
    from tessera.puzzle import compute, distillation
    from tessera.puzzle.heal.train import heal
    from tessera.puzzle.models import architecture as architectures
    from tessera.puzzle.models import loading
    from tessera.puzzle.text import Text, read

    child, architecture = params.child, architectures.read(parent)
    choice = child.choice(architecture.num_layers)
    params.space.check(architecture)
    device = compute.start(params.compute)
    teacher = loading.load(parent, device).requires_grad_(False)

    def text(name: str, split: str, count: int, target: bool = True) -> Text:
        seed = randomness.seed(params.seed, "puzzle", "distillation", name)
        return read(tokens, split, child.window, count, seed, target=target)

    texts = {
        "train": text("library", "train", child.calibration_windows, target=False),
        "valid": text("library valid", "valid", params.library.valid_windows, target=False),
    }
    distillation.build(child, params.space, params.library, params.seed, teacher, texts, library)
    model = children.assemble(teacher, params.space, [library], choice)
    held_out = text("valid", "valid", child.valid_windows)
    before = distillation.kl_div(teacher, model, held_out)
    order = randomness.torch_generator(params.seed, "puzzle", "distillation", "order")
    learnt, cache = text("heal", "train", child.heal_windows), library.with_name("teacher")
    curve = heal(
        teacher, model, learnt.tokens, params.heal, params.heal.equal, order, teacher_cache=cache, mask=learnt.mask
    )
    files.write_json(
        metrics,
        {
            "kl_div": distillation.kl_div(teacher, model, held_out),
            "kl_div_before": before,
            "training_kl_div": curve.kl_div,
        },
    )


if __name__ == "__main__":
    stage.run(main)
