"""Options of a study's proposals."""

import operator
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np

Method = Literal["bop", "fubar", "thompson", "ucb", "random"]
Edges = Literal["none", "hard", "evidence"]
Inference = Literal["map", "slice"]
Transform = Literal["none", "yeo-johnson"]


def integer(value: Any, name: str, least: int) -> int:
    """value as Python's own integer. Raises ValueError, naming it, if it is none or below least."""
    if not hasattr(value, "__index__") or value < least:
        raise ValueError(f"{name} = {value!r}; expected an integer from {least}")
    return operator.index(value)


def real(value: Any, name: str) -> float:
    """value, a number of Python's or another library's, as a float. Raises ValueError, naming it, if it is none."""
    try:
        if isinstance(value, str | bytes):  # float would read them
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} = {value!r}; expected a number") from None


@dataclass(frozen=True)
class Settings:
    """Options of a study's proposals. Raises ValueError if one is out of range."""

    method: Method = "bop"
    #: Edge rule: candidates on the boundary are kept, discarded, or kept if the gradient gives evidence.
    edges: Edges = "evidence"
    #: Whether a point that is known well enough is left alone.
    floor: bool = True
    inference: Inference = "map"
    #: Of the values, before they are standardised: nothing, or a power that draws in the large ones.
    transform: Transform = "none"
    rho: float = 0.5  # floor of s(x), in noise standard deviations
    sem_min: float = 1e-3  # least floor of s(x), in standard deviations of the values
    excluded: float = 0.1  # share of the cube that counts as edge, whatever its dimension
    tau: float = 0.9  # probability that outwards is downwards, from which an edge is believed
    poll: float = 0.25  # size of poll steps, in length scales
    barrier: float = 10.0  # exponent z of FuBar's barrier (rho sigma / s)^z
    starts: int = 5  # uniform starts of a search, per axis
    sweeps: int = 5  # of slice sampling, a proposal
    features: int = 512  # random Fourier features of a sample
    fit_limit: int = 200  # observations that hyper-parameters are fitted on, at most
    exact_limit: int = 500  # observations of the exact posterior, at most; beyond, inducing points
    inducing: int = 256

    def __post_init__(self) -> None:
        choices = {
            "method": get_args(Method),
            "edges": get_args(Edges),
            "inference": get_args(Inference),
            "transform": get_args(Transform),
        }
        for name, valid in choices.items():
            if getattr(self, name) not in valid:
                raise ValueError(f"{name} = {getattr(self, name)!r}; expected one of {', '.join(valid)}")
        for name in ("rho", "sem_min", "poll", "barrier", "excluded", "tau"):
            object.__setattr__(self, name, real(getattr(self, name), name))  # Python's own, for the journal
        for name in ("rho", "sem_min", "poll", "barrier"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name} = {getattr(self, name)}; must be above 0")
        for name in ("excluded", "tau"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}; must be between 0 and 1")
        for name in ("starts", "sweeps", "features", "fit_limit", "exact_limit", "inducing"):
            object.__setattr__(self, name, integer(getattr(self, name), name, 1))
        object.__setattr__(self, "floor", bool(self.floor))
        if self.inducing > self.exact_limit:
            raise ValueError(f"inducing = {self.inducing}; must be at most exact_limit = {self.exact_limit}")

    def to_json(self) -> dict[str, Any]:
        """All options, by name."""
        return asdict(self)
