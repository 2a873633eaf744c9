"""This package's proposals as a sampler for Optuna.

    study = optuna.create_study(sampler=TesseraSampler(seed=0))
    study.optimize(objective, n_trials=60, n_jobs=4)

A proposal is a pure function of the seed, the trial's number, and the trials that the study's storage shows as finished
and running. Failed trials are learned from, as points that are not to be gone to again.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tessera.bayesopt.settings import Settings
from tessera.bayesopt.space import Categorical, Float, Int, Space, Variable
from tessera.bayesopt.study import one_thread
from tessera.bayesopt.trial import Trial, proposed
from tessera.common import randomness

#: Attribute of a trial that keeps the model's hyper-parameters, from which the next fit begins.
THETA = "tessera:theta"


class TesseraSampler(BaseSampler):
    """Proposals of an Optimizer with the same options, for the parameters that all finished trials share.

    Others, and those of the first trials, are uniform. Raises ValueError where an option is wrong, and at the first
    proposal where the study has several objectives.
    """

    def __init__(self, method: str = "bop", seed: int = 0, **settings: Any) -> None:
        self.settings = Settings(method=method, **settings)  # type: ignore[arg-type]
        if seed < 0:
            raise ValueError(f"seed = {seed}: valid is an integer >= 0")
        self.seed = seed
        self._shared = IntersectionSearchSpace()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        if len(study.directions) > 1:
            raise ValueError(f"the study has {len(study.directions)} objectives; valid is one")
        found = self._shared.calculate(study)
        return {name: one for name, one in found.items() if not one.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not search_space:
            return {}
        space = Space({name: variable(one) for name, one in search_space.items()})
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        seen: list[Trial] = []
        pending: list[Trial] = []
        for one in study.get_trials(deepcopy=False):
            known = _known(one, search_space, sign, space.width + 3)
            if known is not None and one.number != trial.number:
                (seen if known.finished else pending).append(known)
        with one_thread():
            made = proposed(space, self.settings, self.seed, trial.number, seen, pending)
        study._storage.set_trial_system_attr(trial._trial_id, THETA, list(made.theta))
        return {name: external(one, made.params[name]) for name, one in search_space.items()}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        own = randomness.seed(self.seed, "bayesopt", "optuna", trial.number, param_name)
        return RandomSampler(seed=own % (1 << 32)).sample_independent(study, trial, param_name, param_distribution)


def variable(distribution: BaseDistribution) -> Variable:
    """A distribution as a variable: those of steps, and choices, by the number of the step or choice.

    Raises ValueError for a distribution that is none of Optuna's three.
    """
    if isinstance(distribution, CategoricalDistribution):
        return Categorical(choices=tuple(range(len(distribution.choices))))
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        raise ValueError(f"{distribution}: valid are Optuna's float, int and categorical distributions")
    if _stepped(distribution):
        return Int(low=0, high=_steps(distribution, distribution.high))
    made = Float if isinstance(distribution, FloatDistribution) else Int
    return made(low=distribution.low, high=distribution.high, log=distribution.log)


def external(distribution: BaseDistribution, value: Any) -> Any:
    """The value for Optuna of a variable's value."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[value]
    if _stepped(distribution):
        return min(distribution.low + value * distribution.step, distribution.high)
    return value


def internal(distribution: BaseDistribution, value: Any) -> Any:
    """The variable's value of a value for Optuna."""
    if isinstance(distribution, CategoricalDistribution):
        return int(distribution.to_internal_repr(value))
    return _steps(distribution, value) if _stepped(distribution) else value


def _stepped(distribution: BaseDistribution) -> bool:
    """Whether values are some steps apart; integers that are next to one another are not meant."""
    if isinstance(distribution, IntDistribution):
        return distribution.step != 1
    return isinstance(distribution, FloatDistribution) and distribution.step is not None


def _steps(distribution: FloatDistribution | IntDistribution, value: float) -> int:
    assert distribution.step is not None
    return round((value - distribution.low) / distribution.step)


def _known(one: FrozenTrial, search_space: dict[str, BaseDistribution], sign: float, thetas: int) -> Trial | None:
    """A trial of Optuna's as one of ours; None where it lacks a parameter, or lies outside of its range."""
    params = {}
    for name, distribution in search_space.items():
        if name not in one.params or not distribution._contains(distribution.to_internal_repr(one.params[name])):
            return None
        params[name] = internal(distribution, one.params[name])
    theta = tuple(one.system_attrs.get(THETA, ()))
    trial = Trial(one.number, params, "optuna", theta=theta if len(theta) == thetas else ())
    if not one.state.is_finished():
        return trial
    if one.state != TrialState.COMPLETE or one.value is None:
        return trial.ended(None, error=f"Optuna's trial is {one.state.name}")
    return trial.ended(sign * one.value, feasible=_holds(one.system_attrs.get("constraints")))


def _holds(constraints: Sequence[float] | None) -> bool:
    """Whether all constraints of a trial hold: they do at 0 and below."""
    return constraints is None or bool(np.all(np.asarray(constraints) <= 0))
