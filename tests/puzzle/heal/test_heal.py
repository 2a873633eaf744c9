"""Global distillation: its loss, resumption to the same bits, and what is trained."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from healing_worker import KilledError, dies_before

from tessera.common import files
from tessera.common.params import check
from tessera.puzzle import child
from tessera.puzzle.heal import train as heal
from tessera.puzzle.library import distill
from tessera.puzzle.models import loading
from tessera.puzzle.params import HealParams

SCHEDULE = {"tokens": 12 * 2 * 12, "batch_windows": 2, "learning_rate": 3e-3, "weight_decay": 0.01, "warmup": 0.1}
PARAMS = {
    "cosine": 1.0,
    "kl": 1.0,
    "lm": 0.0,
    "train": "blocks",
    "equal": SCHEDULE,
    "full": SCHEDULE,
    "checkpoint_steps": 4,
}
TOKENS = torch.randint(1, 64, (7, 13), generator=torch.Generator().manual_seed(4))
CHOICE = ["kv1+parent", "no_op+ffn50", "linear+linear"]


@pytest.fixture
def pair(parent, library, variants):
    """A parent and a new child of it."""

    def make(name="llama"):
        teacher = loading.load(parent(name)).requires_grad_(False)
        return teacher, child.assemble(teacher, variants, library(name), CHOICE)

    return make


def run(pair, checkpoint=None, track=iter, tokens=TOKENS, mask=None, **changes):
    """Heal a child; return it and its curve."""
    teacher, student = pair
    params = HealParams.model_validate(PARAMS | changes)
    generator = torch.Generator().manual_seed(0)
    return student, heal.heal(teacher, student, tokens, params, params.equal, generator, checkpoint, track, mask=mask)


def same(one, other):
    a, b = one.network.state_dict(), other.network.state_dict()
    return all(torch.equal(a[name], b[name]) for name in a)


#: Weights of cosine, KL and next-token loss: each alone, every pair, and all.
GRID = [weights for weights in itertools.product((0.0, 0.7), (0.0, 1.0), (0.0, 0.3)) if any(weights)]


@pytest.mark.parametrize("weights", GRID)
def test_loss_is_its_equation(pair, weights):
    teacher, student = pair()
    cosine, kl, lm = weights
    params = HealParams.model_validate(PARAMS | {"cosine": cosine, "kl": kl, "lm": lm})
    total, mean_kl, mean_cosine, mean_lm = heal.loss(teacher, student, TOKENS, params)
    x, targets = TOKENS[:, :-1], TOKENS[:, 1:]
    (h, calls), (g, _), distances = teacher.inputs(x), student.inputs(x), []
    for ours, theirs in zip(student.layers, teacher.layers, strict=True):
        h, g = theirs(h, calls), ours(g, calls)
        distances.append((1 - F.cosine_similarity(g, h, dim=-1)).mean())
    log_p, log_q = teacher(x).log_softmax(-1), student(x).log_softmax(-1)
    expected_kl = (log_p.exp() * (log_p - log_q)).sum(-1).mean()
    expected_lm = F.nll_loss(log_q.flatten(0, 1), targets.flatten())
    torch.testing.assert_close(mean_kl, expected_kl, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(mean_lm, expected_lm, rtol=1e-4, atol=1e-5)
    if cosine:
        torch.testing.assert_close(mean_cosine, sum(distances) / 3, rtol=1e-4, atol=1e-5)
    expected = cosine * sum(distances) + kl * expected_kl + lm * expected_lm
    torch.testing.assert_close(total, expected, rtol=1e-4, atol=1e-5)


#: Positions that count, a different number in each window.
MASK = torch.arange(12)[None] % torch.arange(2, 9)[:, None] == 1


def taught(pair, tokens, mask, **changes):
    """The losses of tokens, and the gradient of the first by the trained weights."""
    teacher, student = pair
    params = HealParams.model_validate(PARAMS | {"lm": 0.3} | changes)
    weights = [p.requires_grad_(True) for p in heal.trainable(student, params).values()]
    found = heal.loss(teacher, student, tokens, params, mask=mask)
    return [*found, *torch.autograd.grad(found[0], weights)]


def test_mask_of_all_is_no_mask(pair):
    found, expected = (taught(pair(), TOKENS, mask) for mask in (torch.ones(7, 12, dtype=torch.bool), None))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_masked_loss_is_the_mean_over_what_counts(pair, checkpointing):
    teacher, student = pair()
    params = HealParams.model_validate(PARAMS | {"lm": 0.3, "gradient_checkpointing": checkpointing})
    total, mean_kl, mean_cosine, mean_lm = heal.loss(teacher, student, TOKENS, params, mask=MASK)
    x, distance = TOKENS[:, :-1], 0.0
    (h, calls), (g, _) = teacher.inputs(x), student.inputs(x)
    for ours, theirs in zip(student.layers, teacher.layers, strict=True):
        h, g = theirs(h, calls), ours(g, calls)
        distance += float(((1 - F.cosine_similarity(g, h, dim=-1)) * MASK).sum() / MASK.sum())
    log_p, log_q = teacher(x).log_softmax(-1), student(x).log_softmax(-1)
    kl = float(((log_p.exp() * (log_p - log_q)).sum(-1) * MASK).sum() / MASK.sum())
    each = F.nll_loss(log_q.transpose(1, 2), TOKENS[:, 1:], reduction="none")
    lm = float((each * MASK).sum() / MASK.sum())
    expected = (distance + kl + 0.3 * lm, kl, distance / 3, lm)
    assert [float(v) for v in (total, mean_kl, mean_cosine, mean_lm)] == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_what_does_not_count_is_context_alone(pair):
    """Tokens behind the last one that counts change nothing; those before it do."""
    mask = torch.zeros(7, 12, dtype=torch.bool)
    mask[:, 4:7] = True
    later, earlier = TOKENS.clone(), TOKENS.clone()
    later[:, 8:], earlier[:, 1] = 64 - later[:, 8:], 64 - earlier[:, 1]
    found = taught(pair(), TOKENS, mask)
    for a, b in zip(found, taught(pair(), later, mask), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    assert abs(found[1] - taught(pair(), earlier, mask)[1]) > 1e-3


def test_masked_healing_lowers_the_loss_of_what_counts(pair):
    teacher, student = pair()
    params = HealParams.model_validate(PARAMS)
    before = heal.loss(teacher, student, TOKENS, params, mask=MASK)[1]
    curve = heal.heal(teacher, student, TOKENS, params, params.equal, torch.Generator().manual_seed(0), mask=MASK)
    assert curve.tokens == list(range(24, 289, 24))  # context is read as well
    assert heal.loss(teacher, student, TOKENS, params, mask=MASK)[1] < 0.8 * before


def test_window_without_anything_that_counts_is_refused(pair):
    mask = MASK.clone()
    mask[3] = False
    params = HealParams.model_validate(PARAMS)
    with pytest.raises(ValueError, match="1 of 7 windows have no position that counts"):
        heal.heal(*pair(), TOKENS, params, params.equal, torch.Generator(), mask=mask)


@pytest.mark.parametrize("weights", GRID)
def test_every_sum_of_losses_heals(pair, weights):
    cosine, kl, lm = weights
    _, curve = run(pair(), cosine=cosine, kl=kl, lm=lm)
    start, end = (
        sum(kl * a + 3 * cosine * b + lm * c for a, b, c in zip(*series, strict=True))
        for series in (
            (curve.kl_div[:4], curve.cosine[:4], curve.lm_loss[:4]),
            (curve.kl_div[-4:], curve.cosine[-4:], curve.lm_loss[-4:]),
        )
    )
    assert end < 0.97 * start


def test_no_loss_at_all_is_refused():
    with pytest.raises(
        ValueError, match=r"mine: .*cosine, kl and lm are all 0, so nothing is learnt; at least one must"
    ):
        check(HealParams, PARAMS | {"cosine": 0.0, "kl": 0.0, "lm": 0.0}, [("mine", {})])


@pytest.mark.parametrize("name", ["llama", "llama_ungrouped"])
@pytest.mark.parametrize("train", ["replaced", "blocks", "all"])
def test_gradient_is_that_of_the_plain_loss(pair, name, train):
    teacher, student = pair(name)
    params = HealParams.model_validate(PARAMS | {"train": train, "lm": 0.3})
    weights = heal.trainable(student, params)
    for p in weights.values():
        p.requires_grad_(True)
    found = torch.autograd.grad(heal.loss(teacher, student, TOKENS, params)[0], list(weights.values()))
    x, targets = TOKENS[:, :-1], TOKENS[:, 1:].flatten()
    (h, calls), (g, _), total = teacher.inputs(x), student.inputs(x), torch.zeros(())
    for ours, theirs in zip(student.layers, teacher.layers, strict=True):
        h, g = theirs(h, calls), ours(g, calls)
        total = total + (1 - F.cosine_similarity(g, h, dim=-1)).mean()
    log_q = student.head(g).flatten(0, 1).log_softmax(-1)
    log_p = teacher(x).flatten(0, 1).log_softmax(-1)
    total = total + (log_p.exp() * (log_p - log_q)).sum(-1).mean() + 0.3 * F.nll_loss(log_q, targets)
    expected = torch.autograd.grad(total, list(weights.values()))
    for key, a, b in zip(weights, found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5, msg=lambda m, key=key: f"{key}: {m}")
    assert ("model.embed_tokens.weight" in weights) == (train == "all")
    assert ("lm_head.weight" in weights) == (train == "all" and name == "llama_ungrouped")
    assert ("model.norm.weight" in weights) == (train != "replaced")


@pytest.mark.parametrize("train", ["replaced", "blocks", "all"])
def test_healing_lowers_the_losses(pair, train):
    teacher, start = pair()
    student, curve = run(pair(), train=train)
    assert curve.tokens == list(range(24, 289, 24)) and len(curve.kl_div) == 12
    assert sum(curve.kl_div[-3:]) < 0.9 * sum(curve.kl_div[:3])
    assert sum(curve.cosine[-3:]) < sum(curve.cosine[:3])
    before = start.network.state_dict()
    moved = {name for name, value in student.network.state_dict().items() if not torch.equal(value, before[name])}
    assert ("model.embed_tokens.weight" in moved) == (train == "all")
    assert ("model.layers.0.mlp.up_proj.weight" in moved) == (train != "replaced")
    replaced = ("layers.0.self_attn.", "layers.1.mlp.", "layers.2.self_attn.", "layers.2.mlp.")
    assert moved >= {n for n in before if n.startswith(tuple(f"model.{r}" for r in replaced))}
    assert student.network.lm_head.weight is student.network.model.embed_tokens.weight
    assert same(teacher, pair()[0])
    assert not any(p.requires_grad for p in student.parameters())


@pytest.mark.parametrize("killed_at", [1, 5, 8, 11])
@pytest.mark.parametrize("train", ["replaced", "blocks", "all"])
def test_killed_and_resumed_is_unbroken_bit_for_bit(pair, tmp_path, killed_at, train):
    expected, curve = run(pair(), train=train)
    saved = heal.Checkpoint(tmp_path / "checkpoint.safetensors", {"a": 1})
    with pytest.raises(KilledError):
        run(pair(), saved, dies_before(killed_at), train=train)
    steps = []
    found, again = run(pair(), saved, lambda todo: steps.extend(todo) or todo, train=train)
    assert steps == list(range(killed_at // 4 * 4, 12))
    assert again == curve
    assert same(found, expected)
    saved.remove()
    saved.remove()
    assert not list(tmp_path.iterdir())


def test_checkpoint_of_another_healing_is_not_resumed(pair, tmp_path):
    path = tmp_path / "checkpoint.safetensors"

    def begun(identity, make=pair, tokens=TOKENS, mask=None):
        steps = []
        run(make(), heal.Checkpoint(path, identity), lambda todo: steps.extend(todo) or todo, tokens, mask)
        return steps[0]

    def other_weights():
        teacher, student = pair()
        student.network.model.norm.weight.data *= 1.01
        return teacher, student

    def leave():
        with pytest.raises(KilledError):
            run(pair(), heal.Checkpoint(path, {"seed": 0}), dies_before(6))

    for identity, make, tokens, mask, first in (
        ({"seed": 1}, pair, TOKENS, None, 0),
        ({"seed": 0}, other_weights, TOKENS, None, 0),
        ({"seed": 0}, pair, TOKENS.flip(1), None, 0),
        ({"seed": 0}, pair, TOKENS, MASK, 0),
        ({"seed": 0}, pair, TOKENS, None, 4),
    ):
        path.unlink(missing_ok=True)
        leave()
        assert begun(identity, make, tokens, mask) == first


def test_damaged_checkpoint_is_named(pair, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(b"half")
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors: truncated"):
        run(pair(), heal.Checkpoint(path, {}))


def test_child_that_is_the_parent_heals_nothing_of_what_was_replaced(parent, library, variants):
    teacher = loading.load(parent()).requires_grad_(False)
    student = child.assemble(teacher, variants, library(), ["parent+parent"] * 3)
    params = HealParams.model_validate(PARAMS | {"train": "replaced"})
    assert heal.trainable(student, params) == {}
    student, curve = run((teacher, student), train="replaced")
    assert curve == heal.Curve() and same(student, teacher)


def test_no_tokens_heal_nothing(pair):
    student, curve = run(pair(), equal=SCHEDULE | {"tokens": 0})
    assert curve == heal.Curve() and same(student, pair()[1])


def test_checkpoint_is_a_safe_file(pair, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KilledError):
        run(pair(), heal.Checkpoint(path, {"method": "mip"}), dies_before(5))
    assert files.tensor_metadata(path)["step"] == "4"
    names = set(files.load_tensors(path))
    assert "weight/model.layers.1.mlp.up_proj.weight" in names
    assert {"adam/model.norm.weight/exp_avg", "adam/model.norm.weight/step"} <= names


def test_diverging_loss_is_named(pair):
    with pytest.raises(ValueError, match=r"the loss became nan: lower learning_rate"):
        run(pair(), equal=SCHEDULE | {"learning_rate": 1e30, "clip": 1e30})


def test_learning_rate_of_a_resumed_run_goes_on(pair, tmp_path, monkeypatch):
    """The schedule is of the step, not of the process."""
    seen = []
    step = distill.step
    monkeypatch.setattr(distill, "step", lambda *given: seen.append(given[3]) or step(*given))
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KilledError):
        run(pair(), heal.Checkpoint(path, {}), dies_before(5))
    run(pair(), heal.Checkpoint(path, {}))
    params = HealParams.model_validate(PARAMS)
    assert seen == [distill.learning_rate(i, 12, params.equal) for i in (*range(5), *range(4, 12))]
