"""Figures of benchmarks: their size, and their labels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tessera import params
from tessera.bayesopt.params import SuiteParams
from tessera.bayesopt.report import study, suite_figures
from tessera.bayesopt.report.results import SuiteResults
from tessera.common import plots


def suite(repository: Path, name: str) -> SuiteParams:
    return params.load(repository / "params.yaml").bayesopt.suites[name]


def random_results(chosen: SuiteParams, seeds: int) -> SuiteResults:
    """Results of a suite whose regrets fall at random from 10 to about 0.001."""
    rng = np.random.default_rng(0)
    count = chosen.evaluations
    runs = [
        pd.DataFrame(
            {
                "function": function,
                "sampler": sampler,
                "seed": seed,
                "schedule": "async",
                "trial": range(count),
                "regret": 10 ** np.minimum.accumulate(1 - 4 * rng.random(count) * np.linspace(0.2, 1, count)),
                "ended": np.arange(1, count + 1) / chosen.schedule.workers,
                "told": range(count),
                "recommended": range(count),
            }
        )
        for function in chosen.functions
        for sampler in chosen.samplers
        for seed in range(seeds)
    ]
    return SuiteResults("suite", chosen, 0, pd.concat(runs, ignore_index=True), [])


@pytest.mark.parametrize("name", ["quick", "full", "ablations"])
def test_file_of_regrets_stays_small(repository: Path, tmp_path: Path, name: str) -> None:
    """Whatever the number of samplers, functions and seeds of the suites in params.yaml."""
    chosen = suite(repository, name)
    figure = suite_figures.regret(random_results(chosen, seeds=3))
    path = tmp_path / "regret.svg"
    plots.save(figure, path)
    assert path.stat().st_size < 300_000
    detailed = len(chosen.samplers) <= suite_figures.BANDS
    panels = [axis for axis in figure.axes if axis.get_visible()]
    assert len(panels) == (2 if detailed else 1) * len(chosen.functions)
    assert all(len(axis.lines) == len(chosen.samplers) for axis in panels)
    assert all(len(axis.collections) == (len(chosen.samplers) if detailed else 0) for axis in panels)


def test_curves_keep_their_ends(repository: Path) -> None:
    chosen = suite(repository, "full").model_copy(update={"functions": ["branin"]})
    results = random_results(chosen, seeds=3)
    (axis,) = suite_figures.regret(results).axes
    runs = results.evaluations.groupby("sampler")
    for line in axis.lines:
        x, y = line.get_data()
        assert (x[0], x[-1]) == (1, chosen.evaluations)
        regrets = runs.get_group(line.get_label()).groupby("trial")["regret"].median()
        assert np.array_equal(y, regrets.loc[np.array(x) - 1])


@pytest.mark.parametrize(("lines", "expected"), [(1, 60), (100, 45), (10_000, 8)])
def test_points_per_line(lines: int, expected: int) -> None:
    assert suite_figures.points(lines) == expected


@pytest.mark.parametrize(
    ("path", "label"), [(["regret"], "regret"), (["noise", 0, "miss_rate"], "noise, 0, miss rate")]
)
def test_metric_in_words(path: Sequence[str | int], label: str) -> None:
    assert study.metric_label(path) == label
