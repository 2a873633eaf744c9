"""Parallel Bayesian optimisation that can be repeated: same seed and same knowledge, same proposals.

from tessera.bayesopt import Float, Optimizer, minimize

space = {"rate": Float(low=1e-4, high=1, log=True), "momentum": Float(low=0, high=0.99)}
optimizer = Optimizer(space, method="bop", seed=0)
for trial in optimizer.ask(4):
    optimizer.tell(trial, loss(**trial.params))
print(optimizer.best())

print(minimize(lambda p: loss(**p), space, 60, workers=4, timeout=600, journal="study").best)
"""

from typing import TYPE_CHECKING, Any

from tessera.bayesopt.settings import Settings
from tessera.bayesopt.space import Space
from tessera.bayesopt.variables import Categorical, Fixed, Float, Int

if TYPE_CHECKING:
    from tessera.bayesopt.run import ObjectiveError, Result, minimize
    from tessera.bayesopt.study import Optimizer, Replayed, replay
    from tessera.bayesopt.trial import Trial

__all__ = [
    "Categorical",
    "Fixed",
    "Float",
    "Int",
    "ObjectiveError",
    "Optimizer",
    "Replayed",
    "Result",
    "Settings",
    "Space",
    "Trial",
    "minimize",
    "replay",
]


def __getattr__(name: str) -> Any:
    """Load the optimiser when it is first asked for: reading parameters does not take SciPy."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tessera.bayesopt import run, study, trial

    return getattr(next(module for module in (run, study, trial) if hasattr(module, name)), name)
