"""Reference problems: margin and certificate with and without hold window, soft margins, and the online rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tsvm import layout, online
from tessera.tsvm.estimator import TemporalSVM
from tessera.tsvm.neuron import match
from tessera.tsvm.params import NeuronParams, ProblemsParams, ReferenceProblem
from tessera.tsvm.tasks import poisson_problem

#: ms between two points of the drawn potential.
STEP = 0.05


@dataclass(frozen=True)
class Reference:
    """What a reference problem gives.

    numbers: of each variant (one_sided, hold) the bounds, gap and size of the proof; of the free neuron; of the online
    rule and the soft margins. Tables: rounds of both variants; potential and envelope; support vectors; optima by slack
    penalty; margins by step of the online rule.
    """

    numbers: dict[str, float]
    rounds: pd.DataFrame
    trace: pd.DataFrame
    support: pd.DataFrame
    soft: pd.DataFrame
    steps: pd.DataFrame


def draw(problem: ReferenceProblem) -> tuple[SpikeBatch, np.ndarray]:
    """Spike trains and desired spike times (ms) of a reference problem."""
    return poisson_problem(np.random.default_rng(problem.seed), problem.afferents, problem.targets)


def solve(params: ProblemsParams, neuron: NeuronParams, name: str) -> Reference:
    """Solve the problem of this name in every way."""
    spikes, targets = draw(params.problems[name])
    holds = {"one_sided": 0.0, "hold": neuron.tau_c}
    models = {
        variant: TemporalSVM(**neuron.model_dump(), hold=hold).fit(spikes, targets) for variant, hold in holds.items()
    }
    numbers: dict[str, float] = {}
    rounds = []
    for variant, model in models.items():
        numbers |= {f"{variant}_{key}": value for key, value in _proof(model).items()}
        table = pd.DataFrame([vars(entry) for entry in model.history_])
        rounds.append(table.assign(problem=name, variant=variant, round=np.arange(len(table)) + 1))
    model = models["hold"]
    free = match(model.predict(spikes)[0], targets)
    numbers |= {"free_f1": free.f1, "free_largest_shift": float(np.abs(free.shifts).max(initial=0.0))}
    soft = _soft(params.penalties, model, spikes, targets, neuron)
    psp = DoubleExponential(neuron.tau_m, neuron.tau_s)
    _, _, path = online.learn(layout.build(spikes, [targets], psp, neuron.tau_c, neuron.tau_c), params.online_steps)
    numbers |= {"online_margin": path[-1][1] if path else 0.0}
    numbers |= {f"soft_excess_{row.penalty:g}": row.excess for row in soft.itertuples()}
    return Reference(
        numbers,
        pd.concat(rounds),
        _trace(model, spikes, targets, neuron).assign(problem=name),
        _support(model, spikes, targets).assign(problem=name),
        soft.assign(problem=name),
        pd.DataFrame(path, columns=["step", "margin"]).assign(problem=name),
    )


def _proof(model: TemporalSVM) -> dict[str, float]:
    low, up = model.margin_ or (0.0, 0.0)
    return {
        "low": low,
        "up": up,
        "gap": model.certificate_.gap,
        "certified": float(model.status_ == "certified"),
        "rounds": float(model.n_iter_),
        "cuts": float(model.history_[-1].cuts),
        "support": float(len(model.support_times_)),
    }


def _trace(model: TemporalSVM, spikes: SpikeBatch, targets: np.ndarray, neuron: NeuronParams) -> pd.DataFrame:
    """V, theta - kappa |w| g above it, and after targets theta + kappa |w| (1 - exp(-u/tau_c)) below it, over theta."""
    t = np.unique(np.concatenate([np.arange(0.0, spikes.duration, STEP), targets]))
    v = model.voltage(spikes, t, [targets])[0]
    wait = np.append(targets, np.inf)[np.searchsorted(targets, t)] - t
    upper = model.threshold_ - (1 - np.exp(-wait / neuron.tau_c))
    since = t - np.insert(targets, 0, -np.inf)[np.searchsorted(targets, t, side="left")]
    held = since <= neuron.tau_c
    # In the hold window the bound is on V without the last reset.
    unreset = v + np.where(held, model.threshold_ * np.exp(-np.where(held, since, 0.0) / neuron.tau_m), 0.0)
    lower = np.where(held, model.threshold_ + 1 - np.exp(-np.where(held, since, 0.0) / neuron.tau_c), np.nan)
    columns = {"potential": v, "upper": upper, "unreset": np.where(held, unreset, np.nan), "lower": lower}
    return pd.DataFrame({"time": t} | {name: values / model.threshold_ for name, values in columns.items()})


def _support(model: TemporalSVM, spikes: SpikeBatch, targets: np.ndarray) -> pd.DataFrame:
    """The temporal support vectors, and the potential over theta where they are."""
    at = model.support_times_
    v = model.voltage(spikes, at, [targets])[0] / model.threshold_ if len(at) else np.empty(0)
    table = {"time": at, "kind": model.support_kinds_, "multiplier": model.dual_coef_, "potential": v}
    return pd.DataFrame(table).astype({"kind": str})


def _soft(
    penalties: list[float], hard: TemporalSVM, spikes: SpikeBatch, targets: np.ndarray, neuron: NeuronParams
) -> pd.DataFrame:
    """Bounds on the soft optimum by slack penalty, its excess over the hard optimum, and F1 of the free neuron."""
    rows = []
    square = hard.norm_**2
    for penalty in penalties:
        model = TemporalSVM(**neuron.model_dump(), C=penalty * square).fit(spikes, targets)
        low, up = model.objective_ or (0.0, 0.0)
        row = {"penalty": penalty, "low": low, "up": up, "excess": up / (0.5 * square) - 1}
        rows.append(row | {"f1": model.score(spikes, targets)})
    return pd.DataFrame(rows, columns=["penalty", "low", "up", "excess", "f1"])
