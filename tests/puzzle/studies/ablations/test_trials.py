"""Trials of blockwise distillation, and the work that they count."""

import pytest
import torch
from small_library_params import PARAMS

from tessera.puzzle.library import least_squares
from tessera.puzzle.models import loading
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import LibraryParams
from tessera.puzzle.scores.replace_one import hidden_states
from tessera.puzzle.studies.ablations.cases import starting
from tessera.puzzle.studies.ablations.trials import Trials, counter

WINDOWS, T = 24, 16


@pytest.fixture
def run(parent, variants, tmp_path_factory):
    """Trials of one layer from one initialisation."""

    def call(initialisation, tokens=(0, 64, 640), name="llama", space=variants, mask=None):
        model = loading.load(parent(name)).requires_grad_(False)
        text = torch.randint(1, 64, (WINDOWS + 4, T), generator=torch.Generator().manual_seed(0))
        states = hidden_states(model, text)[0][1]
        trials = Trials(
            model,
            1,
            space,
            starting(LibraryParams.model_validate(PARAMS), initialisation, max(tokens)),
            states[:WINDOWS],
            states[WINDOWS:],
            lambda name: torch.Generator().manual_seed(len(name)),
            tmp_path_factory.mktemp("scratch"),
            (None, None) if mask is None else (mask[:WINDOWS], mask[WINDOWS:]),
        )
        return dict(trials.run(initialisation, tokens))

    return call


@pytest.mark.parametrize("initialisation", ["random", "paper", "least_squares"])
def test_every_variant_with_parameters_is_tried_over_every_number_of_tokens(run, variants, initialisation):
    found = run(initialisation)
    parts = {"attention": variants.attention, "ffn": variants.ffn}
    assert set(found) == {f"{p}.{n}" for p, own in parts.items() for n, v in own.items() if v.kind != "no_op"}
    for record in found.values():
        assert [trial["tokens"] for trial in record["trials"]] == [0, 64, 640]
        first, some, most = record["trials"]
        assert first["distilled"] == first["initial"] == some["initial"]
        steps = (most["flops"] - first["flops"]) / (some["flops"] - first["flops"])
        assert steps == 10  # of 64 tokens each: the work of a step does not depend on the start


@pytest.mark.parametrize("initialisation", ["paper", "least_squares"])
def test_trials_are_of_the_tokens_that_count(run, initialisation):
    mask = torch.arange(T).expand(WINDOWS + 4, T) % 3 == 1
    plain, every, some = (run(initialisation, (0, 64), mask=m) for m in (None, torch.ones_like(mask), mask))
    assert plain == every
    for name, record in some.items():
        assert record["trials"][1]["initial"] != plain[name]["trials"][1]["initial"]
        assert record["trials"][1]["flops"] == plain[name]["trials"][1]["flops"]


def test_each_number_of_tokens_begins_anew(run):
    alone, after = run("paper", (640,)), run("paper", (64, 640))
    for name, record in alone.items():
        assert record["trials"][0] == after[name]["trials"][1]


def test_random_weights_cost_nothing_and_are_worst_for_a_narrow_ffn(run):
    random, paper, squares = (run(i, (0,))["ffn.ffn50"]["trials"][0] for i in ("random", "paper", "least_squares"))
    assert random["flops"] == 0
    losses = [one["initial"]["per_token"] for one in (squares, paper, random)]
    assert losses == sorted(losses)


def test_random_biases_are_0_and_gains_1(run, variants, monkeypatch):
    seen = {}
    original = Trials._randomise

    def randomise(self, name, module):
        original(self, name, module)
        seen.update({f"{name}/{key}": p.clone() for key, p in module.named_parameters()})

    monkeypatch.setattr(Trials, "_randomise", randomise)
    for parent, gain in (("llama_biases", 1.0), ("qwen3", 1.0), ("gemma3", 0.0)):  # Gemma's norms add 1
        seen.clear()
        run("random", (0,), parent)
        flat = {key: value for key, value in seen.items() if value.ndim == 1}
        assert {key.rpartition(".")[2] for key in flat} & {"bias", "weight"}
        assert all((value == (0.0 if key.endswith("bias") else gain)).all() for key, value in flat.items())


def test_work_of_a_linear_ffn_is_what_is_counted_by_hand(run, variants):
    """Least squares of D features to D targets, and one step of 64 tokens."""
    D, F, tokens = 32, 48, WINDOWS * T
    space = Space(attention={}, ffn={name: one for name, one in variants.ffn.items() if one.kind == "linear"})
    trials = {i: run(i, (0, 64), space=space)["ffn.linear"]["trials"] for i in ("paper", "least_squares")}
    product = 2 * D * F * D  # of down and up projections, the paper's start
    squares = 2 * tokens * D * 2 * D + D**3 // 3 + 2 * D**3  # two products over the text; factor and solution
    for name, work in {"paper": product, "least_squares": product + squares}.items():
        none, some = trials[name]
        assert none["flops"] == work
        assert some["flops"] - none["flops"] == 2 * 2 * 64 * D * D  # forward, and the gradient of the weights


def test_factorisations_are_counted():
    A = torch.randn(12, 12, dtype=torch.float64)
    A = A @ A.T + torch.eye(12, dtype=torch.float64)
    for work, expected in (
        (lambda: least_squares.solve(A, torch.ones(12, 5, dtype=torch.float64), 1e-9), 12**3 // 3 + 2 * 12**2 * 5),
        (lambda: torch.cholesky_inverse(A), 2 * 12**3 // 3),
        (lambda: torch.linalg.solve(A, torch.ones(12, 7, dtype=torch.float64)), 2 * 12**3 // 3 + 2 * 12**2 * 7),
    ):
        with counter() as counted:
            work()
        assert counted.get_total_flops() == expected
