"""The measured source with a clock that counts arithmetic in place of time, so that what is run can be checked."""

import pytest
import torch
from shapes import SPACE, tiny
from torch.utils.flop_counter import FlopCounterMode

from tessera.puzzle import costs
from tessera.puzzle.costs import measured
from tessera.puzzle.costs.params import CostTarget, Workload
from tessera.puzzle.models import architecture

SHAPE = architecture.from_config(tiny())
WORKLOAD = Workload(batch=4, prefill=6, decode=3, max_num_tokens=12)


@pytest.fixture(autouse=True)
def _small_cache(monkeypatch):
    monkeypatch.setattr(measured, "_cache_bytes", lambda device: 20_000)


@pytest.fixture
def counted(monkeypatch):
    """Replace the clock by a count of floating-point operations, in thousands of seconds a flop."""

    def stopwatch(run, loops):
        with FlopCounterMode(display=False) as counter:
            run()
        return 1e3 * counter.get_total_flops()

    monkeypatch.setattr(measured, "_clock", lambda device: (stopwatch, lambda run: run))


def table(**settings):
    return costs.table(SHAPE, SPACE, WORKLOAD, "measured", hardware="cpu", dtype="float32", repeats=2, **settings)


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


def costs_target():
    return CostTarget(source="measured", hardware="cpu", dtype="float32", workload=WORKLOAD, repeats=2)


def test_copies_overflow_the_cache(counted):
    pieces = measured._pieces(SHAPE, SPACE, costs_target(), torch.device("cpu"), lambda run: run)
    by_name = {piece.name: piece for piece in pieces}
    assert by_name["ffn.linear decode"].copies == -(-30_000 // ((32 * 32 + 32) * 4))
    assert by_name["ffn.parent prefill"].copies == by_name["ffn.parent decode"].copies == 2


def test_copies_are_distinct():
    layers = []

    def wrap(run):
        layers.append(next(c.cell_contents for c in run.__closure__ if isinstance(c.cell_contents, list)))
        return run

    with torch.inference_mode():
        measured._pieces(SHAPE, SPACE, costs_target(), torch.device("cpu"), wrap)
    for modules in layers:
        weights = [p.data_ptr() for module in modules for p in module.parameters() if p.requires_grad]
        tied = [len({id(p) for p in module.parameters()}) for module in modules]
        assert len(set(weights)) == sum(tied)


def test_timed_attention_is_the_models_own_decode_step():
    """A chain over one layer equals that layer called with a cache of the mean context."""
    target = costs_target()
    with torch.inference_mode():
        pieces = {p.name: p for p in measured._pieces(SHAPE, SPACE, target, torch.device("cpu"), lambda run: run)}
        closure = pieces["attention.parent decode"].run.__closure__
        cells = dict(
            zip(
                pieces["attention.parent decode"].run.__code__.co_freevars,
                (c.cell_contents for c in closure),
                strict=True,
            )
        )
    assert cells["step"].past + 1 == 6 + (1 + 3) / 2  # the mean of the contexts 7, 8, 9
    assert cells["x"].shape == (4, 1, 32)
    assert all(view.keys.shape == (4, 2, 8, 8) for view in cells["views"])


def test_unequal_passes_are_refused():
    with pytest.raises(ValueError, match="max_num_tokens"):
        costs.table(
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
        costs.table(SHAPE, SPACE, WORKLOAD, "measured", hardware="cuda", dtype="bfloat16")


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
