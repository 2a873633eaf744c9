"""Run the children of the search in their types: KL on test text, and time and size of some in llama.cpp."""

import tempfile
from pathlib import Path

from tessera.common import files, progress, randomness, stage
from tessera.common.params import Section
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import ComputeParams, ScoresParams
from tessera.puzzle.studies.bits.params import BitsParams


class Params(Section):
    """The study, the space, the scores' text, and the seed of the whole."""

    bits: BitsParams
    space: Space
    scores: ScoresParams
    compute: ComputeParams
    seed: int


def main(params: Params, parent: Path, tokens: Path, library: list[Path], children: Path, metrics: Path) -> None:
    """Write the points of the search with `measured`, their KL, and with `served`, those that were timed."""
    from tessera.puzzle import child as assembly
    from tessera.puzzle import compute
    from tessera.puzzle.models import loading
    from tessera.puzzle.scores.reference import Reference
    from tessera.puzzle.serve import gguf_export, gguf_tokenizer, speed_llama_cpp
    from tessera.puzzle.studies.bits import typed
    from tessera.puzzle.text import read

    settings = params.bits
    teacher = loading.load(parent, compute.start(params.compute)).requires_grad_(False)
    seed = randomness.seed(params.seed, "puzzle", "frontier")
    text = read(tokens, "test", params.scores.window, settings.test_windows, seed)
    reference = Reference(teacher, text.tokens, text.document, text.mask)
    points = files.read_json(children)["points"]
    every = {(*point["blocks"], point["outside"]): point for point in points}
    served = {
        (*point["blocks"], point["outside"])
        for point in points
        if point["method"] == "types" or (point["budget"] == "speed" and point["at"] in settings.served)
    }
    found: dict[tuple[str, ...], dict] = {}
    with tempfile.TemporaryDirectory() as directory:
        models = {}
        for number, (key, point) in enumerate(progress.track([*every.items()], "children in types")):
            blocks = [typed.untyped(block) for block in point["blocks"]]
            child = assembly.assemble(teacher, params.space, library, blocks)
            if key in served:
                path, vocabulary = Path(directory) / f"{number}.gguf", int(child.config.vocab_size)
                types = typed.gguf_types(child, point["blocks"], point["outside"])
                gguf_export.write(child, path, gguf_tokenizer.unread(vocabulary), types)
                parameters = sum(p.numel() for p in child.parameters())
                models[key] = speed_llama_cpp.Served(path, vocabulary, parameters)
            found[key] = reference.measure(typed.round_child(child, point["blocks"], point["outside"]))
        names = {str(number): key for number, key in enumerate(models)}
        times = speed_llama_cpp.times(
            {name: models[key] for name, key in names.items()},
            settings.costs(settings.types[0]),
            settings.rounds,
            lambda rounds: progress.track([*rounds], "requests in llama.cpp"),
        )
        timed = {
            key: {
                "prefill_ms": times[name].prefill,
                "decode_ms": times[name].decode,
                "file_mib": models[key].path.stat().st_size / 2**20,
            }
            for name, key in names.items()
        }
    for point in points:
        key = (*point["blocks"], point["outside"])
        point["measured"] = found[key]
        if key in timed:
            point["served"] = timed[key]
    files.write_json(metrics, {"points": points})


if __name__ == "__main__":
    stage.run(main)
