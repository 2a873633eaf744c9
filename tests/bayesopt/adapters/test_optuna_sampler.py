"""The sampler for Optuna: the same proposals as ours, every kind of parameter, and studies that can be repeated."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from tessera.bayesopt import Optimizer

pytestmark = pytest.mark.slow
optuna = pytest.importorskip("optuna", reason="needs the extra peers")
adapter = pytest.importorskip("tessera.bayesopt.adapters.optuna_sampler")
distributions = optuna.distributions

optuna.logging.set_verbosity(optuna.logging.ERROR)
SPACE = {"a": distributions.FloatDistribution(0.0, 1.0), "b": distributions.FloatDistribution(1e-3, 10.0, log=True)}


def bowl(trial) -> float:
    a, b = trial.suggest_float("a", 0.0, 1.0), trial.suggest_float("b", 1e-3, 10.0, log=True)
    return (a - 0.3) ** 2 + math.log10(b) ** 2


def study(sampler, direction: str = "minimize"):
    return optuna.create_study(sampler=sampler, direction=direction)


def test_it_proposes_what_an_optimizer_does() -> None:
    """From the same trials, numbers, seed and settings come the same points, to the last bit."""
    one = study(adapter.TesseraSampler(seed=3, edges="none"))
    other = Optimizer(
        {
            "a": {"kind": "float", "low": 0.0, "high": 1.0},
            "b": {"kind": "float", "low": 1e-3, "high": 10.0, "log": True},
        },
        seed=3,
        edges="none",
    )
    for i in range(12):
        trial = one.ask(SPACE)
        # Until it has seen a trial Optuna does not know the space; the first point is then given to both.
        ours = other.add(trial.params) if i == 0 else other.ask()[0]
        assert trial.params == ours.params
        value = (trial.params["a"] - 0.3) ** 2 + math.log10(trial.params["b"]) ** 2
        one.tell(trial, value)
        other.tell(ours, value)
    assert one.trials[11].system_attrs[adapter.THETA] == list(other.trials[11].theta)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_it_goes_the_right_way_and_can_be_repeated(direction: str) -> None:
    sign = 1 if direction == "minimize" else -1
    found = []
    for _ in range(2):
        one = study(adapter.TesseraSampler(seed=1), direction)
        one.optimize(lambda trial: sign * bowl(trial), n_trials=20)
        found.append([trial.params for trial in one.trials])
        assert sign * one.best_value < 0.02
    assert found[0] == found[1]


def test_pending_trials_keep_others_away() -> None:
    one = study(adapter.TesseraSampler(seed=0))
    one.optimize(bowl, n_trials=10)
    pending = [one.ask(SPACE).params for _ in range(4)]
    assert len({round(point["a"], 3) for point in pending}) == 4


@pytest.mark.parametrize(
    ("distribution", "values"),
    [
        (distributions.IntDistribution(-2, 3), range(-2, 4)),
        (distributions.IntDistribution(1, 64, log=True), range(1, 65)),
        (distributions.IntDistribution(2, 11, step=3), range(2, 12, 3)),
        (distributions.FloatDistribution(0.1, 0.7, step=0.2), [0.1, 0.3, 0.5, 0.7]),
        (distributions.CategoricalDistribution(["x", None, 2.5, True]), ["x", None, 2.5, True]),
    ],
)
def test_values_go_there_and_back(distribution, values) -> None:
    variable = adapter.variable(distribution)
    for value in values:
        inner = adapter.internal(distribution, value)
        assert adapter.external(distribution, variable.from_axes(_axes(variable, inner))) == pytest.approx(value)
        assert distribution._contains(distribution.to_internal_repr(adapter.external(distribution, inner)))


def _axes(variable, inner):
    import numpy as np

    return np.array(variable.to_axes(inner))


def test_mixed_spaces_and_failures() -> None:
    def objective(trial) -> float:
        a = trial.suggest_float("a", 0.0, 1.0)
        kind = trial.suggest_categorical("kind", ["good", "bad", "worse"])
        steps = trial.suggest_int("steps", 0, 8, step=2)
        if a > 0.6:
            return math.nan
        return (a - 0.3) ** 2 + {"good": 0.0, "bad": 0.3, "worse": 1.0}[kind] + 0.05 * abs(steps - 4)

    one = study(adapter.TesseraSampler(seed=2))
    one.optimize(objective, n_trials=36)
    late = one.trials[20:]
    assert one.best_value < 0.06
    assert sum(trial.state == optuna.trial.TrialState.FAIL for trial in late) <= 5  # of uniform points 6.4
    assert sum(trial.params["kind"] == "good" for trial in late) > 8


def test_a_space_that_changes_is_followed() -> None:
    def objective(trial) -> float:
        wide = trial.number > 8
        a = trial.suggest_float("a", 0.0, 2.0 if wide else 1.0)
        return (a - 0.3) ** 2 + (trial.suggest_float("c", 0.0, 1.0) if wide else 0.0)

    one = study(adapter.TesseraSampler(seed=0))
    one.optimize(objective, n_trials=16)
    assert all(trial.state.is_finished() for trial in one.trials)


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ValueError, match="method = 'ei'; expected one of bop, fubar"):
        adapter.TesseraSampler(method="ei")
    with pytest.raises(ValueError, match="seed = -1"):
        adapter.TesseraSampler(seed=-1)
    several = optuna.create_study(directions=["minimize"] * 2, sampler=adapter.TesseraSampler())
    with pytest.raises(ValueError, match="the study has 2 objectives; expected one"):
        several.ask().suggest_float("a", 0.0, 1.0)


def test_the_example_runs() -> None:
    path = Path(__file__).parents[3] / "examples/optuna_sampler.py"
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("30 trials")
