"""One trial: what was proposed, from which knowledge, and what came of it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from tessera.bayesopt import propose as proposing
from tessera.bayesopt.propose import Data
from tessera.bayesopt.settings import Settings
from tessera.bayesopt.space import Space

State = Literal["waiting", "running", "done", "failed"]
STATES = ("waiting", "running", "done", "failed")
#: Values whose squares are no floats say nothing that a model could use.
LARGEST = 1e150


@dataclass(frozen=True)
class Trial:
    """A point and its story. Its proposal knew the outcomes of `seen`, and the points of `pending`."""

    id: int
    params: dict[str, Any]
    kind: str
    """How it was found: thompson, poll, ucb, random, or baseline for a point that was given."""
    seen: tuple[int, ...] = ()
    pending: tuple[int, ...] = ()
    warm: int | None = None
    """Trial whose theta the fit of this one's model began from."""
    theta: tuple[float, ...] = ()
    seed: int | None = None
    state: State = "waiting"
    value: float | None = None
    feasible: bool | None = None
    error: str | None = None
    owner: str | None = None
    """Who evaluates it, as HOST:PID, while it runs."""
    until: float | None = None
    """When its lease ends, in seconds since 1970."""

    @property
    def finished(self) -> bool:
        return self.state in ("done", "failed")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any], source: str) -> "Trial":
        """Raises ValueError, naming source, if content is not a trial."""
        known = set(cls.__dataclass_fields__)
        if not isinstance(content, Mapping) or not {"id", "params", "kind"} <= set(content) <= known:
            raise ValueError(f"{source}: is not a trial; expected the keys {', '.join(sorted(known))}")
        if content.get("state", "waiting") not in STATES:
            raise ValueError(f"{source}: state = {content['state']!r}; expected one of {', '.join(STATES)}")
        tuples = {name: tuple(content.get(name, ())) for name in ("seen", "pending", "theta")}
        return cls(**{**content, **tuples})

    def ended(self, value: float | None, feasible: bool = True, error: str | None = None) -> "Trial":
        """This trial with its outcome. A value that is missing, not finite or above 1e150 makes it failed."""
        if error is None and (value is None or not math.isfinite(value) or abs(value) > LARGEST):
            error = f"value = {value}; valid is a finite number up to {LARGEST:g}"
        if error is not None:
            error = printable(error)
        outcome: dict[str, Any] = {"owner": None, "until": None, "error": error}
        if error is not None:
            return replace(self, state="failed", value=None, feasible=False, **outcome)
        assert value is not None
        return replace(self, state="done", value=float(value), feasible=bool(feasible), **outcome)


def printable(text: str) -> str:
    """The text in Unicode: Python's stand-ins for bytes that are no text have no UTF-8, so they become `\\udcff`."""
    return text.encode(errors="backslashreplace").decode()


def data_of(space: Space, trials: Sequence[Trial]) -> Data:
    """Finished trials as arrays."""
    return Data(
        rows_of(space, trials),
        np.array([math.nan if trial.value is None else trial.value for trial in trials], dtype=float),
        np.array([bool(trial.feasible) for trial in trials], dtype=bool),
    )


def best(trials: Sequence[Trial]) -> Trial | None:
    """The feasible trial of least value, the first of equals; None if there is none."""
    feasible = [trial for trial in trials if trial.state == "done" and trial.feasible]
    return min(feasible, key=lambda trial: (trial.value, trial.id)) if feasible else None


def rows_of(space: Space, trials: Sequence[Trial]) -> np.ndarray:
    """Points of trials as rows (n, D) of the cube."""
    return np.array([space.to_cube(trial.params) for trial in trials]).reshape(len(trials), space.width)


def proposed(
    space: Space, settings: Settings, seed: int, index: int, seen: Iterable[Trial], pending: Iterable[Trial]
) -> Trial:
    """Trial `index`, proposed from the outcomes of seen and the points of pending.

    The same arguments, in any order of seen and pending, give the same trial.
    """
    seen, pending = sorted(seen, key=lambda trial: trial.id), sorted(pending, key=lambda trial: trial.id)
    modelled = [trial for trial in (*seen, *pending) if trial.theta]
    warm = max(modelled, key=lambda trial: trial.id) if modelled else None
    proposal = proposing.propose(
        space,
        settings,
        data_of(space, seen),
        rows_of(space, pending),
        seed,
        index,
        np.array(warm.theta) if warm else None,
    )
    return Trial(
        id=index,
        params=space.from_cube(proposal.row),
        kind=proposal.kind,
        seen=tuple(trial.id for trial in seen),
        pending=tuple(trial.id for trial in pending),
        warm=warm.id if warm else None,
        theta=tuple(map(float, proposal.theta)),
        seed=proposal.seed,
    )
