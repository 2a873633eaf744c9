"""One reference problem: its margin and certificate with and without hold window, soft margins, and the online rule."""

from pathlib import Path

import numpy as np
import pandas as pd

from tessera.common import files, stage
from tessera.common.params import Section
from tessera.common.run_files import RunRecord
from tessera.neurons.psp import DoubleExponential
from tessera.tsvm import TemporalSVM, layout, online
from tessera.tsvm.neuron import match
from tessera.tsvm.params import NeuronParams, ProblemsParams
from tessera.tsvm.tasks import poisson_problem

#: ms between two points of the drawn potential.
STEP = 0.05


class Params(Section):
    neuron: NeuronParams
    problems: ProblemsParams


def main(
    params: Params, problem: str, rounds: Path, trace: Path, support: Path, soft: Path, steps: Path, run: Path
) -> None:
    wanted, neuron = params.problems, params.neuron
    task = wanted.problems[problem]
    spikes, targets = poisson_problem(np.random.default_rng(task.seed), task.afferents, task.targets)
    holds = {"one_sided": 0.0, "hold": neuron.tau_c}
    models = {name: TemporalSVM(**neuron.model_dump(), hold=hold).fit(spikes, targets) for name, hold in holds.items()}
    metrics: dict[str, float] = {}
    tables = []
    for name, model in models.items():
        low, up = model.margin_ or (0.0, 0.0)
        metrics |= {
            f"{name}_low": low,
            f"{name}_up": up,
            f"{name}_gap": model.certificate_.gap,
            f"{name}_certified": float(model.status_ == "certified"),
            f"{name}_rounds": float(model.n_iter_),
            f"{name}_cuts": float(model.history_[-1].cuts),
            f"{name}_support": float(len(model.support_times_)),
        }
        table = pd.DataFrame([vars(one) for one in model.history_])
        tables.append(table.assign(problem=problem, variant=name, round=np.arange(len(table)) + 1))
    files.write_parquet(rounds, pd.concat(tables))
    model = models["hold"]
    found = match(model.simulate(spikes)[0], targets)
    metrics |= {"free_f1": found.f1, "free_largest_shift": float(np.abs(found.shifts).max(initial=0.0))}
    files.write_parquet(trace, _trace(model, spikes, targets, neuron).assign(problem=problem))
    files.write_parquet(support, _support(model, spikes, targets).assign(problem=problem))
    relaxed = _soft(wanted.penalties, model, spikes, targets, neuron)
    files.write_parquet(soft, relaxed.assign(problem=problem))
    psp = DoubleExponential(neuron.tau_m, neuron.tau_s)
    made = layout.build(spikes, [targets], psp, neuron.tau_c, neuron.tau_c)
    _, _, path = online.learn(made, wanted.online_steps)
    files.write_parquet(steps, pd.DataFrame(path, columns=["step", "margin"]).assign(problem=problem))
    metrics |= {"online_margin": path[-1][1] if path else 0.0}
    metrics |= {f"soft_excess_{row.penalty:g}": row.excess for row in relaxed.itertuples()}
    RunRecord(
        experiment="tsvm/problem",
        name=f"tsvm_problem/problem={problem}",
        params=task.model_dump() | neuron.model_dump() | {"problem": problem},
        tags={"snakemake.rule": "tsvm_problem", "seed": str(task.seed)},
        metrics=metrics,
        history={"gap": [(i, 1 - one.low / one.up) for i, one in enumerate(model.history_, 1)]},
        figures=["reports/figures/tsvm/voltage.svg", "reports/figures/tsvm/certificate.svg"],
        note="low, up: bounds on the largest dynamical margin, in continuous time. soft_excess: the soft optimum "
        "over the "
        "hard one, less 1, by slack penalty in units of the hard |w|^2.",
    ).write(run)


def _trace(model: TemporalSVM, spikes, targets: np.ndarray, neuron: NeuronParams) -> pd.DataFrame:
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


def _support(model: TemporalSVM, spikes, targets: np.ndarray) -> pd.DataFrame:
    """The temporal support vectors, and the potential over theta where they are."""
    at = model.support_times_
    v = model.voltage(spikes, at, [targets])[0] / model.threshold_ if len(at) else np.empty(0)
    table = {"time": at, "kind": model.support_kinds_, "multiplier": model.dual_coef_, "potential": v}
    return pd.DataFrame(table).astype({"kind": str})


def _soft(penalties: list[float], hard: TemporalSVM, spikes, targets: np.ndarray, neuron: NeuronParams) -> pd.DataFrame:
    rows = []
    square = hard.norm_**2
    for penalty in penalties:
        model = TemporalSVM(**neuron.model_dump(), C=penalty * square).fit(spikes, targets)
        low, up = model.objective_ or (0.0, 0.0)
        rows.append(
            {
                "penalty": penalty,
                "low": low,
                "up": up,
                "excess": up / (0.5 * square) - 1,
                "f1": model.score(spikes, targets),
            }
        )
    return pd.DataFrame(rows, columns=["penalty", "low", "up", "excess", "f1"])


if __name__ == "__main__":
    stage.run(main)
