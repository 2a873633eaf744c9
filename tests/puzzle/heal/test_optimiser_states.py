"""Healing with AdamW's moments in 8 bits: as good as in float32, and resumed to the same bits."""

import sys

import pytest
import tiny_models
import torch
from healing_worker import KilledError, dies_before

from tessera.common import files
from tessera.puzzle import child
from tessera.puzzle.heal import train as heal
from tessera.puzzle.library import distill
from tessera.puzzle.models import loading
from tessera.puzzle.params import HealParams

SCHEDULE = {"tokens": 0, "batch_windows": 2, "learning_rate": 3e-3}
PARAMS = {
    "cosine": 1.0,
    "kl": 1.0,
    "lm": 0.0,
    "train": "blocks",
    "equal": SCHEDULE,
    "full": SCHEDULE,
    "checkpoint_steps": 4,
}
TOKENS = torch.randint(3, 97, (8, 13), generator=torch.Generator().manual_seed(4))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A parent whose matrices are large enough for moments of 8 bits, which torchao keeps for 4,096 weights or more."""
    made = tmp_path_factory.mktemp("teacher")
    tiny_models.network("llama").save_pretrained(made)
    return loading.load(made).requires_grad_(False)


@pytest.fixture
def eager():
    """Without torch's compiler, which takes a minute."""
    pytest.importorskip("torchao")
    with torch.compiler.set_stance("force_eager"):
        yield


def run(teacher, states, steps, checkpoint=None, track=iter):
    """Heal a copy of the teacher with noise on its weights in some steps; return it and its curve."""
    student, noise = child.exchanged(teacher, {}), torch.Generator().manual_seed(1)
    for p in student.network.parameters():
        p.data = p.data + 0.3 * p.data.std() * torch.randn(p.shape, generator=noise)
    schedule = {"equal": SCHEDULE | {"tokens": steps * 2 * 12}}
    params = HealParams.model_validate(PARAMS | schedule | {"optimiser_states": states})
    order = torch.Generator().manual_seed(0)
    return student, heal.heal(teacher, student, TOKENS, params, params.equal, order, checkpoint, track)


def test_loss_is_that_of_float32_within_two_percent(teacher, eager):
    """Measured: the mean loss of the last 10 of 60 steps, which is less than half of that of the first 10."""
    curves = {states: run(teacher, states, 60)[1] for states in ("float32", "8bit")}
    start, end = ({s: sum(c.kl_div[part]) for s, c in curves.items()} for part in (slice(10), slice(-10, None)))
    assert end["float32"] < 0.5 * start["float32"]
    assert end["8bit"] == pytest.approx(end["float32"], rel=0.02)
    assert end["8bit"] != end["float32"]


def test_moments_are_of_8_bits(teacher, eager, monkeypatch):
    made, before = [], distill.optimiser
    monkeypatch.setattr(distill, "optimiser", lambda *args: made.append(before(*args)) or made[0])
    run(teacher, "8bit", 1)
    states = [state[key] for state in made[0].state.values() for key in ("exp_avg", "exp_avg_sq")]
    large = [state for state in states if state.ndim == 2 and state.numel() >= 4096]
    assert large and all(state.codes.dtype == torch.uint8 for state in large)


def test_a_killed_healing_goes_on_to_the_same_bits(teacher, eager, tmp_path):
    expected, curve = run(teacher, "8bit", 12)
    checkpoint = heal.Checkpoint(tmp_path / "checkpoint.safetensors", {"name": "test"})
    with pytest.raises(KilledError):
        run(teacher, "8bit", 12, checkpoint, dies_before(6))
    assert files.tensor_metadata(checkpoint.path)["step"] == "4"
    seen = []
    student, again = run(teacher, "8bit", 12, checkpoint, lambda steps: seen.append(next(iter(steps))) or steps)
    assert seen == [4] and again == curve
    ours, theirs = student.network.state_dict(), expected.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_without_torchao(teacher, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchao.optim", None)
    with pytest.raises(ValueError, match=r"optimiser_states = 8bit: .*; expected float32, or pip install 'tessera\["):
        run(teacher, "8bit", 1)


def test_several_processes_are_refused():
    with pytest.raises(ValueError, match=r"optimiser_states = 8bit is for one process.*split over processes = 2"):
        HealParams.model_validate(PARAMS | {"optimiser_states": "8bit", "processes": 2})
