"""The measured source with a clock that counts arithmetic in place of time, so that what is run can be checked."""

import itertools

import pytest
import tiny_models
import torch
from shapes import SPACE, tiny
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache
from zoo import ZOO

from tessera.puzzle.costs import chains, measured, tables
from tessera.puzzle.costs.operations import Pass
from tessera.puzzle.costs.params import CostTarget, Workload
from tessera.puzzle.costs.tables import table_rows
from tessera.puzzle.models import architecture
from tessera.puzzle.models.anatomy import tensor
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.layer import Calls
from tessera.puzzle.models.space import Attention, Space

SHAPE = architecture.from_config(tiny())
WORKLOAD = Workload(batch=4, prefill=6, decode=3, max_num_tokens=12)


@pytest.fixture(autouse=True)
def _small_cache(monkeypatch):
    monkeypatch.setattr(measured, "cache_bytes", lambda device: 20_000)


@pytest.fixture
def counted(monkeypatch):
    """Replace the clock by a count of floating-point operations, in thousands of seconds a flop."""

    def stopwatch(run, loops):
        with FlopCounterMode(display=False) as counter:
            run()
        return 1e3 * counter.get_total_flops()

    monkeypatch.setattr(measured, "_clock", lambda device: (stopwatch, lambda run: run))


def table(**settings):
    return tables.table(SHAPE, SPACE, WORKLOAD, "measured", hardware="cpu", dtype="float32", repeats=2, **settings)


def test_what_is_timed_is_the_variants_arithmetic(counted):
    found = table(threads=1).set_index(["subblock", "variant"])
    D, F, V, tokens, steps = 32, 48, 64, 4 * 6, 4 * 3
    for phase, rows in (("prefill_ms", tokens), ("decode_ms", steps)):
        flops = found[phase] / 1e6  # milliseconds of a clock of 1e3 seconds a flop
        assert flops["ffn", "parent"] == pytest.approx(2 * rows * 3 * D * F)
        assert flops["ffn", "ffn50"] == pytest.approx(2 * rows * 3 * D * F / 2)
        assert flops["ffn", "linear"] == pytest.approx(2 * rows * D * D)
        assert flops["attention", "linear"] == pytest.approx(2 * rows * D * D)
        assert flops["attention", "parent"] - flops["attention", "kv1"] == pytest.approx(2 * rows * D * 2 * 8)
        assert flops["ffn", "no_op"] == flops["attention", "no_op"] == 0
    # The head is applied to the last token of each of the four prompts alone, and to each decoded token.
    assert found.prefill_ms["non_block", "-"] / 1e6 == pytest.approx(2 * 4 * D * V)
    assert found.decode_ms["non_block", "-"] / 1e6 == pytest.approx(2 * steps * D * V)
    assert set(found.provenance) == {"measured", "nothing to do"}
    assert found.hardware.str.endswith("1 threads").all()


def pieces_of(shape=SHAPE, wrap=lambda run: run):
    target, rows = costs_target(), table_rows(shape, SPACE)
    with torch.inference_mode():
        return measured._pieces(shape, rows, target, torch.device("cpu"), wrap, "float32", lambda module: module)


def costs_target():
    return CostTarget(source="measured", hardware="cpu", dtype="float32", workload=WORKLOAD, repeats=2)


def test_copies_overflow_the_cache(counted):
    pieces = pieces_of()
    by_name = {piece.name: piece for piece in pieces}
    assert by_name["ffn.linear decode"].copies == -(-30_000 // ((32 * 32 + 32) * 4))
    assert by_name["ffn.parent prefill"].copies == by_name["ffn.parent decode"].copies == 2


def test_copies_are_distinct():
    layers = []

    def wrap(run):
        inside = cells(run)
        layers.append(inside.get("models") or inside["layers"])
        return run

    pieces_of(wrap=wrap)
    for modules in layers:
        weights = [p.data_ptr() for module in modules for p in module.parameters()]
        tied = [len({id(p) for p in module.parameters()}) for module in modules]
        assert len(set(weights)) == sum(tied)


def cells(run):
    return dict(zip(run.__code__.co_freevars, (c.cell_contents for c in run.__closure__), strict=True))


def test_decode_is_timed_at_the_mean_context():
    """Two runs in turn see the same caches: what the first appended is gone."""
    pieces = {p.name: p for p in pieces_of()}
    run = pieces["attention.parent decode"].run
    inside = cells(run)
    assert inside["x"].shape == (4, 1, 32)
    with torch.inference_mode():
        for _ in range(2):
            run(1)
            assert inside["stored"][0].keys.shape == (4, 2, 8, 8)
            assert inside["stored"][0].length == 6 + (1 + 3) // 2  # the mean of the contexts 7, 8, 9


@pytest.mark.parametrize("name", ["gemma3", "mixtral", "gpt_oss", "phi3", "olmo2", "cohere"])
def test_other_families_are_measured(counted, name):
    shape = architecture.from_config(ZOO[name])
    space = Space.model_validate(
        {"attention": {"kv1": {"kind": "gqa", "kv_heads": 1}}, "ffn": {"ffn50": {"kind": "gated", "width": 0.5}}}
    )
    rows = tables.table(shape, space, WORKLOAD, "measured", hardware="cpu", dtype="float32", repeats=2)
    kinds = 2 if name in ("gemma3", "gpt_oss") else 1
    assert len(rows) == 2 * kinds + 2 + 1
    assert set(rows.provenance) == {"measured"}
    if kinds == 2:
        assert list(rows["layers"][:2]) == ["0", "1"]


def test_all_chains_share_the_memory_of_the_largest(monkeypatch):
    """Within a chain no two weights share any; a table of many variants takes no more than its largest chain."""
    monkeypatch.setattr(chains, "BLOCK", 4096)
    pool, taken = chains.Pool(torch.float32, torch.device("cpu")), []
    for row in table_rows(SHAPE, SPACE):
        if not row.parameters(SHAPE).bytes("float32"):
            continue
        modules = []
        monkeypatch.setattr(chains, "through_layers", lambda layers, *_, kept=modules: kept.extend(layers))
        monkeypatch.setattr(chains, "_through_models", lambda models, *_, kept=modules: kept.extend(models))
        chains.chain(SHAPE, row, 7, {"prefill": Pass(2, 6, 0)}, pool, lambda module: module)
        weights = [p for module in modules for p in module.parameters() if p.ndim > 1]
        spans = sorted((p.data_ptr(), p.data_ptr() + 4 * p.numel()) for p in weights)
        assert len(modules) == 7 and all(end <= begin for (_, end), (begin, _) in itertools.pairwise(spans))
        blocks = [(b.data_ptr(), b.data_ptr() + 4 * len(b)) for b in pool.blocks]
        assert all(any(low <= begin and end <= high for low, high in blocks) for begin, end in spans)
        assert all(p.std() > 0.01 for p in weights)
        taken.append(sum(p.numel() for p in weights))
    assert len(taken) > 5
    # A block is left with less than the next weight takes.
    assert max(taken) <= sum(map(len, pool.blocks)) < 2 * max(taken)


def test_biases_of_a_router_are_there_and_add_nothing():
    shape = architecture.from_config(tiny_models.network("deepseek_v3").config.to_dict())
    row = next(row for row in table_rows(shape, Space(attention={}, ffn={})) if row.subblock == "ffn")
    biases = dict(chains.variant_layer(shape, row, torch.float32, torch.device("cpu")).named_buffers())
    assert any("correction_bias" in name for name in biases) and not any(bias.any() for bias in biases.values())


@pytest.mark.parametrize("name", ["gemma3", "windowed"])
def test_a_window_within_the_familys_own_is_measured_beyond_both(counted, name):
    shape, space = architecture.from_config(ZOO[name]), {"window": Attention(kind="gqa", window=4)}
    long = {"batch": 2, "prefill": 12, "decode": 3}  # longer than the family's window of 8
    given = (shape, Space(attention=space, ffn={}), long, "measured")
    rows = tables.table(*given, hardware="cpu", dtype="float32", repeats=2)
    assert (rows.decode_ms > 0).all() and list(rows.variant).count("window") == (2 if name == "gemma3" else 1)


@torch.no_grad()
@pytest.mark.parametrize("name", ["llama", "gemma3", "mistral", "qwen3"])
def test_chain_computes_what_the_model_does(name):
    """Chains of the parent's attention and of its FFN, with a model's weights, give that model's states."""
    config = ZOO[name] | {"num_hidden_layers": 2}
    shape = architecture.from_config(config)
    network = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config)).float().eval()
    model = LanguageModel(network)
    tokens = torch.randint(64, (4, 9), generator=torch.Generator().manual_seed(0))
    cache = DynamicCache(config=network.config)
    network(input_ids=tokens[:, :-1], past_key_values=cache, use_cache=True)
    x = torch.randn(4, 1, 32, generator=torch.Generator().manual_seed(1))
    step = Pass(4, 1, 8, decode=True)
    outside = chains.without_layers(shape, torch.float32, torch.device("cpu"))
    row = next(row for row in table_rows(shape, SPACE) if row.variant == Attention(kind="gqa"))
    layer = chains.variant_layer(shape, row, torch.float32, torch.device("cpu"))
    layer.load_state_dict(model.module(0).state_dict(), strict=False)
    cache.layers = cache.layers[:1]
    call = chains.layer_call(shape, 0, outside, step, cache)
    run = chains.through_layers([layer], [cache], call, x)
    states = []
    layer.register_forward_hook(lambda *given: states.append(given[-1]))
    run(1)
    run(1)
    expected = model.layers[0](x, Calls([(call[0], call[1] | {"past_key_values": _copy(network, tokens)})]), ffn=None)
    torch.testing.assert_close(tensor(states[0]), expected)
    assert torch.equal(tensor(states[0]), tensor(states[1]))


def _copy(network, tokens):
    cache = DynamicCache(config=network.config)
    network(input_ids=tokens[:, :-1], past_key_values=cache, use_cache=True)
    return cache


def test_unequal_passes_are_refused():
    with pytest.raises(ValueError, match="max_num_tokens"):
        tables.table(
            SHAPE,
            SPACE,
            Workload(batch=5, prefill=6, decode=3, max_num_tokens=12),
            "measured",
            hardware="cpu",
            dtype="float32",
        )


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_missing_cuda_is_refused():
    with pytest.raises(ValueError, match="torch finds no CUDA device; expected cpu"):
        tables.table(SHAPE, SPACE, WORKLOAD, "measured", hardware="cuda", dtype="bfloat16")


def test_threads_are_put_back_even_after_an_error():
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="on the way"), measured.using_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise RuntimeError("on the way")
    assert torch.get_num_threads() == before


@pytest.mark.filterwarnings("ignore:.*lost in the noise:UserWarning")
def test_real_clock_gives_a_complete_table():
    """However busy the machine is: nothing is asserted of the times but that they are there."""
    found = table()
    assert len(found) == 4 + 6 + 1
    assert (found.runtime_ms == found.prefill_ms + found.decode_ms).all()
    assert (found.loc[found.provenance != "nothing to do", "runtime_ms"] > 0).all()


def test_table_says_which_times_are_bounds(monkeypatch):
    """A clock that runs backwards with the work, as other work on the machine can make it seem."""
    ticks = iter(range(10**6, 0, -1))
    monkeypatch.setattr(measured, "_clock", lambda device: (lambda run, loops: next(ticks), lambda run: run))
    with pytest.warns(UserWarning, match="ffn.parent prefill, ffn.parent decode"):
        found = table()
    timed = found[found.provenance != "nothing to do"]
    assert set(timed.provenance) == {"measured, upper bound"} and set(timed.spread) == {1.0}
    assert (timed.runtime_ms > 0).all()
