"""Tables of the T-SVM study, and the numbers that its claims are about. All of it is computed from result files."""

from typing import Any

import numpy as np
import pandas as pd

from tessera.common.files import Json
from tessera.tsvm import summaries
from tessera.tsvm.report.results import Results

#: Numbers of a prediction that have an interval.
INTERVALS = ("spearman", "partial", "measured_over_predicted")
#: Largest predicted shift, in units of tau_c, for which prediction of timing is claimed.
SMALL_SHIFT = 0.1


def problems(results: Results) -> pd.DataFrame:
    """Sizes and numbers of the reference problems, one row per problem."""
    tasks = results.params.problems.problems
    rows = [{"problem": name} | tasks[name].model_dump() | numbers for name, numbers in results.problems.items()]
    return pd.DataFrame(rows).sort_values("problem", ignore_index=True)


def margins(results: Results) -> pd.DataFrame:
    """Proved bounds on the largest dynamical margin of the reference problems, with and without hold window, and the
    rounds, cuts and support vectors of the proof."""
    names = ["problem", "afferents", "targets", "seed"]
    parts = ("low", "up", "gap", "rounds", "cuts", "support")
    columns = [f"{variant}_{part}" for variant in ("one_sided", "hold") for part in parts]
    return problems(results)[[*names, *columns, "online_margin", "free_largest_shift"]]


def loads(results: Results) -> pd.DataFrame:
    """Random problems by load: feasible fraction, margins, and scores of the free neuron without noise."""
    return summaries.loads(results.load)


def soft(results: Results) -> pd.DataFrame:
    """Soft margins of the reference problems by slack penalty, in units of the hard problem's squared norm of weights:
    bounds on the optimum, its excess over the hard optimum, and F1 of the free neuron."""
    return results.soft


def critical(results: Results) -> pd.DataFrame:
    """Noise at which half of the trials fail, by method: geometric mean over problems, and its ratio to the T-SVM's
    with a 95 % bootstrap interval over problems."""
    return results.methods


def kernels(results: Results) -> pd.DataFrame:
    """Status, proved margin and ratio of the exclusive-or by kernel; low and up are 0 if no margin exists, by proof."""
    return results.xor_margins


def speech(results: Results) -> pd.DataFrame:
    """Accuracies on pairs of speakers, on test and training patterns, with the chosen slack penalties."""
    return results.speech


def metrics(results: Results) -> Json:
    """The numbers that the study's claims are about, by step, then by problem or setting."""
    return {
        "problems": results.problems,
        "load": {str(targets): summaries.load_metrics(rows) for targets, rows in results.load.groupby("targets")}
        | {"feasible_rises": float(summaries.feasible_rises(loads(results)))},
        "noise": {
            str(kind): {
                row["method"]: {"critical": row["critical"], "ratio": _interval(row, "ratio")}
                for row in group.to_dict("records")
            }
            for kind, group in results.methods.groupby("kind")
        },
        "prediction": {str(kind): _predictions(group) for kind, group in results.ranks.groupby("kind")},
        "timing": _timing(results),
        "sweep": summaries.sweep_metrics(results.sweep),
        "brian": results.brian,
        "xor": {
            row.kernel: {
                "low": row.low,
                "up": row.up,
                "ratio": row.ratio,
                "infeasible": float(row.status == "infeasible"),
            }
            for row in results.xor_margins.itertuples()
        },
        "speech": {
            task: {name: float(value) for name, value in row.items()}
            for task, row in results.speech.set_index("task").iterrows()
        }
        | summaries.speech_means(results.speech, results.bootstrap),
    }


def _predictions(ranks: pd.DataFrame) -> Json:
    """Rank correlations of one kind of noise: of the number of targets, and of each prediction."""
    predictions = {
        row["prediction"]: {name: _interval(row, name) for name in INTERVALS} | {"within": _plain(row["within"])}
        for row in ranks.to_dict("records")
    }
    return {"targets": {"spearman": ranks["null"].iloc[0]}} | predictions


def _timing(results: Results) -> Json:
    """The largest relative error of predicted shifts, where these are small, and the number of levels compared."""
    timing = summaries.timing(results.curves)
    small = timing[timing["predicted"] <= SMALL_SHIFT * results.params.neuron.tau_c]
    return {
        "largest_error": float((small["ratio"] - 1).abs().max()) if len(small) else None,
        "levels": len(small),
    }


def _plain(value: float) -> float | None:
    """JSON has no nan."""
    return None if np.isnan(value) else value


def _interval(row: dict[str, Any], name: str) -> dict[str, float | None]:
    """value, low and high from the columns NAME, NAME_low and NAME_high."""
    return {key: _plain(row[name + end]) for key, end in (("value", ""), ("low", "_low"), ("high", "_high"))}
