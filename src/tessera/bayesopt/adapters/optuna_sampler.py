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
from tessera.bayesopt.space import Space
from tessera.bayesopt.study import one_thread
from tessera.bayesopt.trial import Trial, proposed
from tessera.bayesopt.variables import Categorical, Float, Int, Variable
from tessera.common import randomness

#: Attribute of a trial that keeps the model's hyper-parameters, from which the next fit begins.
THETA = "tessera:theta"


class TesseraSampler(BaseSampler):
    """Proposals of an Optimizer with the same options, for the parameters that all finished trials share.

    Others, and those of the first trials, are uniform. Raises ValueError if an option is wrong, and at the first
    proposal if the study has several objectives.
    """

    def __init__(self, method: str = "bop", seed: int = 0, **settings: Any) -> None:
        self.settings = Settings(method=method, **settings)  # type: ignore[arg-type]
        if seed < 0:
            raise ValueError(f"seed = {seed}; expected an integer >= 0")
        self.seed = seed
        self._shared = IntersectionSearchSpace()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        if len(study.directions) > 1:
            raise ValueError(f"the study has {len(study.directions)} objectives; expected one")
        shared = self._shared.calculate(study)
        return {name: distribution for name, distribution in shared.items() if not distribution.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if not search_space:
            return {}
        space = Space({name: variable(distribution) for name, distribution in search_space.items()})
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        seen: list[Trial] = []
        pending: list[Trial] = []
        for other in study.get_trials(deepcopy=False):
            known = _known(other, search_space, sign, space.width + 3)
            if known is not None and other.number != trial.number:
                (seen if known.finished else pending).append(known)
        with one_thread():
            proposal = proposed(space, self.settings, self.seed, trial.number, seen, pending)
        study._storage.set_trial_system_attr(trial._trial_id, THETA, list(proposal.theta))
        return {name: external(distribution, proposal.params[name]) for name, distribution in search_space.items()}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        number_seed = randomness.seed(self.seed, "bayesopt", "optuna", trial.number, param_name)
        return RandomSampler(seed=number_seed % (1 << 32)).sample_independent(
            study, trial, param_name, param_distribution
        )


def variable(distribution: BaseDistribution) -> Variable:
    """A distribution as a variable: those of steps, and choices, by the number of the step or choice.

    Raises ValueError for a distribution that is none of Optuna's three.
    """
    if isinstance(distribution, CategoricalDistribution):
        return Categorical(choices=tuple(range(len(distribution.choices))))
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        raise ValueError(f"{distribution}: expected a float, int or categorical distribution of Optuna")
    if _stepped(distribution):
        return Int(low=0, high=_steps(distribution, distribution.high))
    kind = Float if isinstance(distribution, FloatDistribution) else Int
    return kind(low=distribution.low, high=distribution.high, log=distribution.log)


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


def _known(frozen: FrozenTrial, search_space: dict[str, BaseDistribution], sign: float, thetas: int) -> Trial | None:
    """Optuna's trial as ours; None if it lacks a parameter or lies outside its range."""
    params = {}
    for name, distribution in search_space.items():
        if name not in frozen.params or not distribution._contains(distribution.to_internal_repr(frozen.params[name])):
            return None
        params[name] = internal(distribution, frozen.params[name])
    theta = tuple(frozen.system_attrs.get(THETA, ()))
    trial = Trial(frozen.number, params, "optuna", theta=theta if len(theta) == thetas else ())
    if not frozen.state.is_finished():
        return trial
    if frozen.state != TrialState.COMPLETE or frozen.value is None:
        return trial.ended(None, error=f"Optuna's trial is {frozen.state.name}")
    return trial.ended(sign * frozen.value, feasible=_holds(frozen.system_attrs.get("constraints")))


def _holds(constraints: Sequence[float] | None) -> bool:
    """Whether all constraints of a trial hold: they do at 0 and below."""
    return constraints is None or bool(np.all(np.asarray(constraints) <= 0))
