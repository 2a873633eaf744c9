"""What a plan rests on: what the model is and can have, and how fast this machine computes with it."""

import copy
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tessera.common import files
from tessera.puzzle.compress.text import Text

#: Runs of which the fastest counts.
RUNS = 3
#: Rows of the matrices whose product in float64 is timed.
GRAM = 512


@dataclass(frozen=True)
class Facts:
    """A model and its rates on this machine, measured once for a directory, so that its plan stays the same."""

    family: str
    layers: int
    hidden_size: int
    vocab_size: int
    kv_heads: int
    channels: int
    parameters: int
    outside: int
    """Parameters of embedding, final norm and head."""
    spaces: dict[str, dict[str, dict[str, Any]]]
    """Spaces that the model can have, as puzzle.space: `full`, and `small` for little time."""
    refused: dict[str, str]
    """Kinds of variants that it cannot have, and why."""
    rates: dict[str, float]
    """Seconds of processor time (see `rates`); `slowdown`, how many times as long it took beside other programs; and
    `spent`, seconds of the call until the plan."""
    window: int
    """Tokens of the windows with which they were measured."""
    cores: int
    """Jobs at once."""


def examine(
    directory: Path, split: Callable[[Any], Text], cores: int, window: int | None = None, tested: Path | None = None
) -> tuple[Facts, Text]:
    """Load the model of a Hugging Face directory, test it as a parent, split its text, and time it.

    split gives the text, as the model's tokenizer reads it; window is that of attentions that shall be searched. tested
    is the file in which the workflow noted what came of the same tests, if it has made this very directory. Raises
    ValueError and OSError, saying what failed, if the model cannot be a parent, or have such a window.
    """
    begun, wall = time.process_time(), time.perf_counter()
    import torch

    from tessera.data import parent as parents
    from tessera.puzzle.compress import family
    from tessera.puzzle.costs import memory
    from tessera.puzzle.models import admission, architecture, loading
    from tessera.puzzle.models.admission import Admission

    imported = time.process_time()
    torch.set_num_threads(1)
    model = loading.load(directory)
    loaded = time.process_time()
    texts = parents.texts_of(directory)
    texts.check(directory, model.network.get_input_embeddings().num_embeddings)
    if hasattr(model.config, loading.BLOCKS):
        raise ValueError(
            f"{directory / 'config.json'}: {loading.BLOCKS} makes it a child; expected a model as published"
        )
    admitted = Admission(**files.read_json(tested)) if tested else admission.examine(model)
    examined = time.process_time()
    waited = time.perf_counter() - wall
    text = split(texts)
    tokens = text.window
    shape = architecture.read(directory)
    taken = {"start": imported - begun, "load": loaded - imported, "examine": examined - loaded}
    taken["slowdown"] = max(1.0, waited / (examined - begun))
    facts = Facts(
        family=model.config.model_type,
        layers=len(model.layers),
        hidden_size=model.hidden_size,
        vocab_size=model.config.vocab_size,
        kv_heads=shape.num_kv_heads,
        channels=shape.intermediate_size,
        parameters=sum(p.numel() for p in model.parameters()),
        outside=memory.non_block_parameters(shape).count,
        spaces=family.spaces(model, admitted, shape.num_kv_heads, text.scored, window),
        refused=admitted.failed,
        rates=taken | rates(model, tokens, cores),
        window=tokens,
        cores=cores,
    )
    return facts, text


def rates(model: Any, window: int, cores: int) -> dict[str, float]:
    """Time the model on one window of text with one thread, while all other cores work as well.

    Returns seconds of processor time, which other programs change little: `layer` and `layer_back` of one layer per
    token, forwards, and forwards and backwards; `update` of AdamW for one layer; `head` and `head_back` of head and KL
    per token; `token` of the whole model for one token; `gigaflop` of products in float64, per 1e9 operations; and, no
    time, `threads`: how many times as fast one job with a thread on every core is as one of many with one thread each.
    """
    import torch

    from tessera.puzzle.models.decoder import Layer
    from tessera.puzzle.scores import divergence

    square = torch.ones(GRAM, GRAM, dtype=torch.float64)
    text = torch.arange(window)[None] * 31 % model.config.vocab_size
    whole = model.layers[len(model.layers) // 2]
    module = copy.deepcopy(whole.module).requires_grad_(True)
    layer = Layer(module, whole.index, model.hidden_size, whole.anatomy)
    adam = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=0.0, fused=True)
    with busy(cores - 1):
        with torch.no_grad():
            x, calls = model.inputs(text)
            forwards = timed(lambda: whole(x, calls))
            last, targets = x.flatten(0, 1), text.flatten()
            head = timed(lambda: divergence.compare(model.head, last, [(model.head, last)], targets)) / 2
            token = timed(lambda: model.head(model.last(text[:, :1])))

        def backwards() -> None:
            layer(x.clone().requires_grad_(True), calls).square().mean().backward()

        def loss() -> None:
            states = last.clone().requires_grad_(True)
            divergence.distillation_loss((model.head, model.head), (states, last), targets)[0].backward()

        both = timed(backwards)
        rates = {
            "layer": forwards / window,
            "layer_back": both / window,
            "update": timed(adam.step),
            "head": head / window,
            "head_back": timed(loss) / window,
            "token": token,
            "gigaflop": timed(lambda: square @ square) / (2 * GRAM**3 / 1e9),
        }
    torch.set_num_threads(cores)
    rates["threads"] = max(1.0, both / timed(backwards))
    torch.set_num_threads(1)
    return rates


def timed(work: Callable[[], object]) -> float:
    """Processor seconds of the fastest of some runs, after one that does not count; fewer runs if they are long."""
    work()
    best, end = float("inf"), time.thread_time() + 3.0
    for _ in range(RUNS):
        begun = time.thread_time()
        work()
        best = min(best, time.thread_time() - begun)
        if time.thread_time() > end:
            break
    return best


@contextmanager
def busy(cores: int) -> Iterator[None]:
    """Keep other cores at work meanwhile, as they are when the workflow runs."""
    import torch

    done = threading.Event()

    def work() -> None:
        a = torch.ones(256, 256)
        while not done.is_set():
            a @ a

    threads = [threading.Thread(target=work, daemon=True) for _ in range(cores)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()
