"""Functions whose minima are known, to compare optimisers on: classics, BBOB and SBOX-COST.

Classics are in the usual form and domain (S. Surjanovic and D. Bingham, Virtual Library of Simulation Experiments).
BBOB (N. Hansen et al., 2009) and SBOX-COST (O. Vermetten et al., 2023) come from the package ioh: SBOX-COST has BBOB's
functions with optima anywhere in the box, BBOB keeps them from its edge.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tessera.bayesopt.space import Space
from tessera.bayesopt.variables import Float

_IOH = re.compile(r"(bbob|sbox)-f(\d+)-d(\d+)")


@dataclass(frozen=True)
class Function:
    """A function of the variables x0, x1, ... of its space, and its least value."""

    name: str
    space: Space
    least: float
    _f: Callable[[np.ndarray], float]

    def __call__(self, params: Mapping[str, float]) -> float:
        return float(self._f(np.array([params[name] for name in self.space.variables])))

    def regret(self, params: Mapping[str, float]) -> float:
        """How far the value is above the least, never below 0."""
        return max(self(params) - self.least, 0.0)


def branin(x: np.ndarray) -> float:
    a, b = 5.1 / (4 * np.pi**2), 5 / np.pi
    return (x[1] - a * x[0] ** 2 + b * x[0] - 6) ** 2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x[0]) + 10


_ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
_A = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann6(x: np.ndarray) -> float:
    return -float(_ALPHA @ np.exp(-(_A * (x - _P) ** 2).sum(axis=1)))


def ackley(x: np.ndarray) -> float:
    """Shifted: in the usual place, the middle of the box, methods that prefer the middle would be lucky."""
    z = x - 32.768 * np.linspace(-0.45, 0.3, len(x))
    return float(
        -20 * np.exp(-0.2 * np.sqrt(np.mean(z**2))) - np.exp(np.mean(np.cos(2 * np.pi * z))) + 20 + np.exp(1.0)
    )


def levy(x: np.ndarray) -> float:
    w = 1 + (x - 1) / 4
    middle = ((w[:-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[:-1] + 1) ** 2)).sum()
    return float(np.sin(np.pi * w[0]) ** 2 + middle + (w[-1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[-1]) ** 2))


def rosenbrock(x: np.ndarray) -> float:
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


_CLASSICS: dict[str, tuple[Callable[[np.ndarray], float], list[tuple[float, float]], float]] = {
    "branin": (branin, [(-5.0, 10.0), (0.0, 15.0)], 0.39788735772973816),
    "hartmann6": (hartmann6, [(0.0, 1.0)] * 6, -3.322368011415515),
    "ackley5": (ackley, [(-32.768, 32.768)] * 5, 0.0),
    "levy4": (levy, [(-10.0, 10.0)] * 4, 0.0),
    "rosenbrock4": (rosenbrock, [(-5.0, 10.0)] * 4, 0.0),
}


def get(name: str, instance: int = 1) -> Function:
    """The function of a name: branin, hartmann6, ackley5, levy4, rosenbrock4, or (bbob|sbox)-f1..24-dD, such as
    bbob-f8-d5.

    instance: which of BBOB's or SBOX's instances, whose optima differ. Raises ValueError if there is no such
    function.
    """
    if name in _CLASSICS:
        f, box, least = _CLASSICS[name]
        return Function(name, _space(box), least, f)
    match = _IOH.fullmatch(name)
    if not match or not 1 <= int(match[2]) <= 24 or not 2 <= int(match[3]) <= 100:
        raise ValueError(
            f"no function {name!r}; expected one of {', '.join(_CLASSICS)}, or bbob-f1-d2 to sbox-f24-d100"
        )
    import ioh

    kind = {"bbob": ioh.ProblemClass.BBOB, "sbox": ioh.ProblemClass.SBOX}[match[1]]
    problem = ioh.get_problem(int(match[2]), instance, int(match[3]), kind)
    box = list(zip(problem.bounds.lb.tolist(), problem.bounds.ub.tolist(), strict=True))
    return Function(name, _space(box), float(problem.optimum.y), _plain(problem))


def _plain(problem: Any) -> Callable[[np.ndarray], float]:
    return lambda x: float(problem(x.tolist()))


def _space(box: list[tuple[float, float]]) -> Space:
    return Space({f"x{i}": Float(low=float(low), high=float(high)) for i, (low, high) in enumerate(box)})
