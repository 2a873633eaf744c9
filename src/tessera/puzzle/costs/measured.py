"""Costs measured on the machine at hand, CPU or CUDA, with the modules that a child is made of.

Weights are random, for time does not depend on them. Each variant is a chain of distinct copies of transformers' layer
with nothing in the other subblock's place, each with its own KV cache; `timing` says why. What the decoder gives its
layers is recorded once. On CUDA a run is one replay of a CUDA graph.
A decode step is timed at the mean context of the workload: exact if time grows linearly with the context.
The cost outside the layers is that of a model without layers, its head applied to the last token of each sequence.
"""

import copy
import functools
import math
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers.cache_utils import Cache, DynamicCache

from tessera.common.progress import track
from tessera.puzzle.costs import operations
from tessera.puzzle.costs.params import CostTarget
from tessera.puzzle.costs.tables import Row
from tessera.puzzle.costs.timing import Marginal, Piece, Stopwatch, marginals
from tessera.puzzle.models import variants
from tessera.puzzle.models.architecture import Architecture
from tessera.puzzle.models.cache import ReservedLayer, new_cache
from tessera.puzzle.models.decoder import decoder_of, tensor
from tessera.puzzle.models.modeling_child import exchange
from tessera.puzzle.models.space import FFN, Attention

REPEATS = 15
#: N copies hold this many times the cache, so that reading them in turn finds none of them in it.
OVERFLOW = 1.5
#: Used if the system does not report the size of its last cache.
UNKNOWN_CACHE = 64 * 2**20
Run = Callable[[int], object]
Convert = Callable[[nn.Module], nn.Module]


def times(architecture: Architecture, rows: Sequence[Row], target: CostTarget) -> tuple[dict[Row, dict], str, str]:
    """Times, spread and provenance of every row, and the names of hardware and software.

    Raises ValueError if the workload cannot be measured or the hardware is not there.
    """
    return measure(architecture, rows, target, target.dtype, lambda module: module)


def measure(
    architecture: Architecture, rows: Sequence[Row], target: CostTarget, dtype: str, convert: Convert
) -> tuple[dict[Row, dict], str, str]:
    """As times; convert is applied to every copy of a subblock's layer, whose weights are then of dtype."""
    device = torch.device(target.hardware)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("hardware is 'cuda', but torch finds no CUDA device; expected cpu")
    kinds = {step for _, step in operations.prefill_passes(target.workload)}
    if len(kinds) > 1:
        raise ValueError(
            f"workload: prompts of {target.workload.prefill} tokens in a batch of {target.workload.batch} are read in "
            f"passes of different sizes; to be measured they must be equal: choose max_num_tokens so that a pass takes "
            f"whole prompts, and as many of them as divide the batch"
        )
    with using_threads(target.threads), torch.inference_mode():
        stopwatch, wrap = _clock(device)
        pieces = _pieces(architecture, rows, target, device, wrap, dtype, convert)
        show = functools.partial(track, description=f"costs on {device.type}")
        times = marginals(pieces, target.repeats or REPEATS, stopwatch, show)
        names = machine(device), software(device)
    return {row: _row(row, target, times) for row in rows}, *names


def _row(row: Row, target: CostTarget, times: dict[str, Marginal]) -> dict:
    """Times of one row from the marginals of its two pieces; what has none is a no-op."""
    if _name(row, "prefill") not in times:
        return {"prefill_ms": 0.0, "decode_ms": 0.0, "spread": 0.0, "provenance": "nothing to do"}
    prefill = times[_name(row, "prefill")]
    decode = times.get(_name(row, "decode"), Marginal(0.0, 0.0))
    passes = sum(count for count, _ in operations.prefill_passes(target.workload))
    prefill_ms, decode_ms = 1e3 * passes * prefill.seconds, 1e3 * target.workload.decode * decode.seconds
    spread = (prefill_ms * prefill.spread + decode_ms * decode.spread) / (prefill_ms + decode_ms)
    provenance = "measured, upper bound" if prefill.bound or decode.bound else "measured"
    return {"prefill_ms": prefill_ms, "decode_ms": decode_ms, "spread": spread, "provenance": provenance}


def _name(row: Row, phase: str) -> str:
    layer = f" of layer {row.layers[0]}" if row.layers and row.layers[0] else ""
    return f"{row.subblock}.{row.name}{layer} {phase}"


def _pieces(
    architecture: Architecture,
    rows: Sequence[Row],
    target: CostTarget,
    device: torch.device,
    wrap: Callable[[Run], Run],
    dtype: str,
    convert: Convert,
) -> list[Piece]:
    """The prefill and the decode piece of every variant that does anything, on the same copies of its modules."""
    workload = target.workload
    steps = {"prefill": operations.prefill_passes(workload)[0][1]}
    if workload.decode:
        steps["decode"] = operations.Pass(workload.batch, 1, workload.prefill + (workload.decode - 1) // 2, decode=True)
    pieces = []
    for row in rows:
        if size := row.parameters(architecture).bytes(dtype):
            copies = max(1, math.ceil(OVERFLOW * _cache_bytes(device) / size))
            chain = _chain(architecture, row, 2 * copies, steps, getattr(torch, target.dtype), device, convert)
            pieces += [Piece(_name(row, phase), copies, wrap(run)) for phase, run in chain.items()]
    return pieces


def _chain(
    architecture: Architecture,
    row: Row,
    copies: int,
    steps: dict[str, operations.Pass],
    dtype: torch.dtype,
    device: torch.device,
    convert: Convert,
) -> dict[str, Run]:
    """For each phase a function of n that runs one pass through n distinct copies, each layer with its KV cache."""
    outside = _without_layers(architecture, dtype, device)
    if row.variant is None:
        models = [outside, *(_filled(copy.deepcopy(outside)) for _ in range(copies - 1))]
        return {phase: _through_models(models, step, device) for phase, step in steps.items()}
    layers = [convert(_filled(_layer(architecture, row, dtype, device))) for _ in range(copies)]
    chain = {}
    for phase, step in steps.items():
        caches = [_cache(architecture, row, step, dtype, device) for _ in layers]
        calls = _calls(architecture, row.layers[0], outside, step, caches[0])
        x = torch.randn(step.sequences, step.tokens, architecture.hidden_size, dtype=dtype, device=device)
        chain[phase] = _through_layers(layers, caches, calls, x)
    return chain


def _without_layers(architecture: Architecture, dtype: torch.dtype, device: torch.device) -> Any:
    """transformers' model without layers: embedding, final norm and head, with random weights."""
    network = copy.deepcopy(architecture.skeleton.network)
    decoder = decoder_of(network)
    decoder.layers = nn.ModuleList()
    network.config = decoder.config = copy.copy(network.config)
    decoder.config.__dict__["num_hidden_layers"] = 0
    network = network.to(dtype).to_empty(device=device)
    network.tie_weights()
    for name, module in decoder.named_children():
        # Rotary frequencies are no weights; they follow from the configuration.
        if not list(module.parameters()) and list(module.buffers()):
            setattr(decoder, name, type(module)(config=architecture.config).to(device))
    return _filled(network)


def _layer(architecture: Architecture, row: Row, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """A layer of the parent with a variant of one subblock, and nothing in the place of the other."""
    skeleton, index = architecture.skeleton, row.layers[0]
    whole = skeleton.layers[index]
    layer = copy.deepcopy(whole.module)
    assert row.variant is not None
    if part := variants.part(whole, architecture.config, row.variant):
        exchange(layer, row.subblock, variants.build(whole, architecture.config, part, row.subblock), part)
    other = FFN(kind="no_op") if row.subblock == "attention" else Attention(kind="no_op")
    place, part = (
        "ffn" if row.subblock == "attention" else "attention",
        variants.part(whole, architecture.config, other),
    )
    exchange(layer, place, variants.build(whole, architecture.config, part, place), part)
    if computed := dict(layer.named_buffers()).keys() - layer.state_dict().keys():
        raise ValueError(f"{type(layer).__name__}: {min(computed)} is not known without weights: not measured")
    layer = layer.to(dtype).to_empty(device=device)
    for buffer in layer.buffers():  # such as a router's biases, which are in a checkpoint as weights are
        buffer.zero_()
    return layer


def _filled(module: nn.Module) -> Any:
    """The module with random weights, and vectors of ones."""
    for p in module.parameters():
        p.requires_grad_(False)
        if p.ndim > 1:
            p.normal_(0, 0.02)
        else:
            p.fill_(1)
    return module


def _calls(
    architecture: Architecture, layer: int, outside: Any, step: operations.Pass, cache: Cache | None
) -> tuple[tuple, dict[str, Any]]:
    """How the decoder calls a layer in a pass, recorded on a model of one such layer that computes nothing.

    Masks are as wide as what the cache stores, the last tokens alone in a layer with a window.
    """
    decoder, calls = decoder_of(outside), []

    class Recorder(nn.Module):
        def __getattr__(self, name: str) -> Any:
            try:
                return super().__getattr__(name)
            except AttributeError:
                return getattr(architecture.skeleton.layers[layer].module, name)

        def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
            calls.append((args, kwargs))
            return x

    decoder.layers = nn.ModuleList([Recorder()])
    types = getattr(decoder.config, "layer_types", None)
    changes = {"num_hidden_layers": 1} | ({"layer_types": [types[layer]]} if types else {})
    before = {name: decoder.config.__dict__.get(name) for name in changes}
    decoder.config.__dict__.update(changes)
    try:
        device = outside.get_input_embeddings().weight.device
        tokens = torch.zeros(step.sequences, step.tokens, dtype=torch.long, device=device)
        positions = torch.arange(step.past, step.past + step.tokens, device=device)[None]
        decoder(input_ids=tokens, position_ids=positions, past_key_values=cache, use_cache=cache is not None)
    finally:
        decoder.config.__dict__.update(before)
        decoder.layers = nn.ModuleList()
    return calls[0]


def _through_models(models: list[Any], step: operations.Pass, device: torch.device) -> Run:
    config = models[0].config
    tokens = torch.randint(config.vocab_size, (step.sequences, step.tokens), device=device)
    positions = torch.arange(step.past, step.past + step.tokens, device=device)[None]
    cache = DynamicCache(config=config)
    cache.layers = [ReservedLayer(step.past + step.tokens)]
    cache.layers[0].length = step.past  # what a layer would have stored

    def run(n: int) -> None:
        for model in models[:n]:
            model(
                input_ids=tokens,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )

    return run


def _through_layers(
    layers: list[nn.Module], caches: list[Cache | None], calls: tuple[tuple, dict[str, Any]], x: torch.Tensor
) -> Run:
    args, kwargs = calls
    given = [kwargs | {"past_key_values": cache, "use_cache": cache is not None} for cache in caches]
    stored = [cache.layers[-1] if cache else None for cache in caches]
    before = [dict(vars(cache)) if cache else {} for cache in stored]

    def run(n: int) -> None:
        y = x
        for i in range(n):
            if stored[i] is not None:
                vars(stored[i]).update(before[i])
            y = tensor(layers[i](y, *args, **given[i]))

    return run


def _cache(
    architecture: Architecture, row: Row, step: operations.Pass, dtype: torch.dtype, device: torch.device
) -> Cache | None:
    """A cache of one layer before a pass, filled with values as a running model has them."""
    if not isinstance(row.variant, Attention):
        return None
    index, context = row.layers[0], step.past + step.tokens
    cache = new_cache(architecture.config, context)
    layer = cache.layers[index]
    cache.layers = [layer] * (index + 1)  # the layer finds its own by its number
    keys = values = torch.ones(step.sequences, 1, step.past, 1, dtype=dtype, device=device)
    if row.variant.kind == "gqa":
        module = architecture.skeleton.part(index, row.variant)
        assert module is not None
        heads, *sizes = operations.stored(architecture, module)
        shape = (step.sequences, heads, step.past)
        keys, values = (torch.randn(*shape, size, dtype=dtype, device=device) for size in sizes)
    layer.update(keys, values)
    return cache


@contextmanager
def using_threads(threads: int | None) -> Iterator[None]:
    """Compute with `threads` threads, None for torch's choice."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _clock(device: torch.device) -> tuple[Stopwatch, Callable[[Run], Run]]:
    """The stopwatch of a device, and what a run is wrapped in before it is timed."""
    if device.type == "cpu":

        def on_cpu(run: Callable[[], object], loops: int) -> float:
            start = time.perf_counter()
            for _ in range(loops):
                run()
            return (time.perf_counter() - start) / loops

        return on_cpu, lambda run: run

    def on_cuda(run: Callable[[], object], loops: int) -> float:
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        start.record()
        for _ in range(loops):
            run()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end) / 1e3 / loops

    return on_cuda, _graphs


def _graphs(run: Run) -> Run:
    """Run by CUDA graphs, one for each number of copies, captured at its first use."""
    graphs: dict[int, Any] = {}

    def replay(n: int) -> None:
        if n not in graphs:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    run(n)
            torch.cuda.current_stream().wait_stream(side)
            graphs[n] = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graphs[n]):
                run(n)
        graphs[n].replay()

    return replay


def _cache_bytes(device: torch.device) -> int:
    """Size of the last cache before memory."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).L2_cache_size
    sizes = [p.read_text().strip() for p in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
    units = {"K": 2**10, "M": 2**20}
    return max((int(s[:-1]) * units[s[-1]] for s in sizes if s[-1:] in units), default=UNKNOWN_CACHE)


def machine(device: torch.device) -> str:
    """Name of the hardware, with the threads in use if it is a CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{model}, {torch.get_num_threads()} threads"


def software(device: torch.device) -> str:
    """Version of torch, and what it computes with."""
    build = f"CUDA {torch.version.cuda}" if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    return f"torch {torch.__version__}, {build}"
