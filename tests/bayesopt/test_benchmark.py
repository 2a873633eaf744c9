"""The simulated clock, and the statistics of a benchmark."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tessera.bayesopt import benchmark, functions
from tessera.bayesopt.benchmark import Ours, Schedule
from tessera.bayesopt.jobs import jobs as jobs_of
from tessera.bayesopt.params import SuiteParams

BRANIN = functions.get("branin")


class Recorder:
    """Uniform points; it notes what had been told when each was asked for."""

    def __init__(self) -> None:
        self.told: list[int] = []
        self.known: list[tuple[int, ...]] = []
        self.rng = np.random.default_rng(0)

    def ask(self) -> tuple[int, dict, str]:
        self.known.append(tuple(sorted(self.told)))
        return len(self.known) - 1, BRANIN.space.from_cube(self.rng.random(2)), "random"

    def tell(self, number: int, value: float) -> None:
        self.told.append(number)


def run(schedule: Schedule, n: int = 24) -> tuple[pd.DataFrame, Recorder]:
    recorder = Recorder()
    return benchmark.simulate(BRANIN, recorder, schedule, n, 3)[0], recorder


def overlap(table: pd.DataFrame) -> int:
    """Most evaluations at a time."""
    return max(int(((table["started"] <= t) & (table["ended"] > t)).sum()) for t in table["started"])


@pytest.mark.parametrize("mode", ["async", "sync", "lag"])
def test_no_more_than_the_workers_run(mode: str) -> None:
    table, recorder = run(Schedule(mode, 4, 4))  # type: ignore[arg-type]
    assert overlap(table) <= 4
    ended = table["ended"].to_numpy()
    for i, known in enumerate(recorder.known):
        assert all(ended[j] <= table["started"][i] + 1e-12 for j in known)


def test_what_each_schedule_knows() -> None:
    _, recorder = run(Schedule("sync", 4))
    assert [len(known) for known in recorder.known] == [i // 4 * 4 for i in range(24)]
    _, recorder = run(Schedule("lag", 4, 3))
    assert recorder.known == [tuple(range(max(i - 2, 0))) for i in range(24)]
    table, recorder = run(Schedule("async", 4))
    for i, known in enumerate(recorder.known):
        assert set(known) == {j for j in range(i) if table["ended"][j] <= table["started"][i]}


def test_makespans_are_in_order() -> None:
    """One at a time is slowest; asynchronous is fastest; a lag waits for less than batches do."""
    spans = {name: run(schedule)[0]["ended"].max() for name, schedule in
             {"lag 1": Schedule("lag", 4, 1), "lag 4": Schedule("lag", 4, 4), "sync": Schedule("sync", 4),
              "async": Schedule("async", 4)}.items()}  # fmt: skip
    table, _ = run(Schedule("async", 4))
    assert spans["lag 1"] == pytest.approx((table["ended"] - table["started"]).sum())
    assert spans["async"] <= spans["lag 4"] <= spans["sync"] < spans["lag 1"]


def test_regret_is_that_of_what_is_recommended() -> None:
    table = pd.DataFrame(
        {"trial": [0, 1, 2], "ended": [2.0, 1.0, 3.0], "told": [1, 0, 2], "recommended": [0, 1, 0], "regret": [1, 2, 3]}
    )
    assert benchmark.regret_by_evaluation(table).tolist() == [2, 1, 1]
    found = benchmark.regret_by_clock(table, np.array([0.5, 1.0, 2.5, 9.0]))
    assert np.isnan(found[0])
    assert found[1:].tolist() == [2, 1, 1]


@pytest.mark.parametrize("mode", ["async", "sync", "lag"])
def test_exact_values_are_recommended_by_the_least(mode: str) -> None:
    table, recorder = run(Schedule(mode, 4, 3))  # type: ignore[arg-type]
    assert recorder.told == table.sort_values("told")["trial"].tolist()
    values = table.set_index("trial")["value"]
    least = [values[recorder.told[: n + 1]].idxmin() for n in range(24)]
    assert table.sort_values("told")["recommended"].tolist() == least
    assert benchmark.regret_by_evaluation(table)[-1] == table["regret"].min()
    if mode != "lag":
        assert recorder.told == table.sort_values("ended")["trial"].tolist()


@pytest.mark.parametrize("mode", ["async", "sync", "lag"])
def test_of_noisy_values_the_sampler_says_what_it_recommends(mode: str) -> None:
    """Its regret is of the noise-free value, whatever was observed there."""

    class Last(Recorder):
        def recommend(self) -> int:
            return self.told[-1]

    sampler = Last()
    table, _ = benchmark.simulate(BRANIN, sampler, Schedule(mode, 4, 3), 24, 3, noise=50.0)  # type: ignore[arg-type]
    regret = benchmark.regret_by_evaluation(table)
    assert regret.tolist() == [table["regret"][number] for number in sampler.told]
    points = [{f"x{i}": value for i, value in enumerate(place)} for place in table[["x0", "x1"]].to_numpy()]
    exact = [BRANIN(BRANIN.space.from_cube(np.array(list(point.values())))) for point in points]
    assert table["regret"].to_numpy() == pytest.approx(np.array(exact) - BRANIN.least)
    assert np.abs(table["value"] - exact).max() > 50


def test_ours_recommends_by_the_model() -> None:
    sampler = Ours(BRANIN, 3, method="thompson", edges="none")
    table, _ = benchmark.simulate(BRANIN, sampler, Schedule(), 24, 3, noise=20.0)
    recommended = sampler._optimizer.recommend()
    assert recommended
    assert benchmark.regret_by_evaluation(table)[-1] == table["regret"][recommended.id]


def test_uniform_points_are_not_enriched() -> None:
    X = np.random.default_rng(0).random((4000, 2))
    table = pd.DataFrame({"x0": X[:, 0], "x1": X[:, 1]})
    assert benchmark.edge_enrichment(table, 0) == pytest.approx(1, abs=0.15)
    assert benchmark.edge_enrichment(pd.DataFrame({"x0": [0.0, 0.5], "x1": [0.5, 1.0]}), 0) == pytest.approx(
        1 / (1 - 0.96**2)
    )
    twice = pd.concat([table[:10], table[:10] + 1e-4])
    assert benchmark.repeat_rate(twice) == 0.5


def test_comparisons_are_paired() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for function in "fg":
        for seed in range(10):
            base = np.exp(5 * rng.standard_normal())  # functions and seeds differ far more than methods
            rows += [{"function": function, "seed": seed, "method": "a", "regret": base},
                     {"function": function, "seed": seed, "method": "b", "regret": base * 0.5}]  # fmt: skip
    table = benchmark.compare(pd.DataFrame(rows), "a", 0)
    (row,) = table.to_dict("records")
    assert (row["method"], row["pairs"], row["wins"]) == ("b", 20, 1.0)
    assert row["median"] == pytest.approx(np.log10(0.5), abs=0.01)
    assert row["high"] < 0


def final_of(effects: list[float], seeds: int = 20) -> pd.DataFrame:
    """Regrets of a and b, whose logarithms differ by an effect per function, by a tenth of a decade between seeds."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {"function": f"f{i}", "seed": seed, "method": method, "regret": 10 ** (logarithm + 0.1 * rng.standard_normal())}
        for i, effect in enumerate(effects)
        for seed in range(seeds)
        for method, logarithm in (("a", 0.0), ("b", effect))
    )


def test_a_lead_on_some_functions_is_no_lead_over_functions() -> None:
    """20 seeds of each function are no 240 functions."""
    effects = [-0.5, -0.4, -0.4, -0.3, -0.3, -0.2, -0.2, -0.1, 0.2, 0.3, 0.5, 0.6]
    (row,) = benchmark.compare(final_of(effects), "a", 0).to_dict("records")
    assert row["pairs"] == 240
    assert row["median"] < -0.1
    assert row["high"] > 0
    (row,) = benchmark.compare(final_of([-0.3] * 12), "a", 0).to_dict("records")
    assert row["high"] < -0.2


def test_three_functions_decide_only_what_is_much_larger_than_they_differ() -> None:
    (row,) = benchmark.compare(final_of([-0.5, -0.3, -0.1]), "a", 0).to_dict("records")
    assert row["high"] > 0
    (row,) = benchmark.compare(final_of([-0.35, -0.3, -0.25]), "a", 0).to_dict("records")
    assert row["high"] < 0


def test_on_one_function_the_interval_is_over_seeds() -> None:
    final = final_of([-0.3])
    (row,) = benchmark.compare(final, "a", 0).to_dict("records")
    pairs = final.pivot(index="seed", columns="method", values="regret")
    assert (row["low"], row["high"]) == benchmark.interval(
        np.log10(pairs.b.to_numpy()) - np.log10(pairs.a.to_numpy()), 0
    )


def test_intervals_cover_the_median() -> None:
    rng = np.random.default_rng(1)
    hits = [low <= 0 <= high for low, high in (benchmark.interval(rng.standard_normal(20), 0) for _ in range(200))]
    assert stats.binomtest(sum(hits), 200, 0.95).pvalue > 1e-4


def suite(**changes: object) -> SuiteParams:
    plain = {
        "functions": ["branin", "levy4"],
        "samplers": {"bop": {}, "sobol": {"sampler": "sobol"}},
        "reference": "bop",
        "seeds": 5,
        "evaluations": 6,
        "noise": 0.0,
        "schedule": {"workers": 4, "spread": 0.5},
        "lag": {"sampler": "bop", "function": "levy4", "lags": [1, 4]},
        "block": 2,
    }
    return SuiteParams.model_validate(plain | changes)


def test_jobs_cover_every_run_once() -> None:
    jobs = jobs_of(suite())
    runs = [(one.function, one.name, one.schedule, seed) for one in jobs.values() for seed in one.seeds]
    wanted = {(f, s, "async", seed) for f in ("branin", "levy4") for s in ("bop", "sobol") for seed in range(5)}
    wanted |= {("levy4", "bop", name, seed) for name in ("sync", "lag 1", "lag 4") for seed in range(5)}
    assert set(runs) == wanted
    assert len(runs) == len(wanted)
    assert "levy4/bop/lag_4-2" in jobs
    assert jobs["levy4/bop/lag_4-2"].seeds == [4]


def test_a_dear_sampler_has_fewer_seeds_and_the_same_jobs_else() -> None:
    few = jobs_of(suite(fewer_seeds={"sobol": 3}))
    assert [one.seeds for name, one in few.items() if name.startswith("branin/sobol")] == [[0, 1], [2]]
    everything = jobs_of(suite())
    assert {name: one for name, one in everything.items() if "sobol" not in name} == {
        name: one for name, one in few.items() if "sobol" not in name
    }
    with pytest.raises(ValueError, match=r"fewer_seeds\.sobol = 6; expected 1 to 5"):
        suite(fewer_seeds={"sobol": 6})
    with pytest.raises(ValueError, match=r"fewer_seeds\.tpe is not a sampler"):
        suite(fewer_seeds={"tpe": 2})
    with pytest.raises(ValueError, match="the reference"):
        suite(fewer_seeds={"bop": 2})


def test_methods_are_compared_on_what_both_have_run() -> None:
    final = pd.DataFrame(
        [{"function": "f", "seed": s, "method": "a", "regret": 1.0} for s in range(6)]
        + [{"function": "f", "seed": s, "method": "b", "regret": 0.1} for s in range(4)]
    )
    (row,) = benchmark.compare(final, "a", 0).to_dict("records")
    assert (row["pairs"], row["wins"], row["median"]) == (4, 1.0, -1.0)


def test_what_is_added_to_a_suite_leaves_its_jobs() -> None:
    few = jobs_of(suite())
    more = jobs_of(
        suite(
            functions=["branin", "levy4", "hartmann6"],
            samplers={"bop": {}, "random": {"method": "random"}, "sobol": {"sampler": "sobol"}},
        )
    )
    assert all(more[name] == one for name, one in few.items())


def test_names_are_names_of_files() -> None:
    with pytest.raises(ValueError, match="samplers"):
        suite(samplers={"../bop": {}})
