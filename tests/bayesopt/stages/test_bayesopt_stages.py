"""The stages: proposals from files in any order, confirmations, runs of benchmarks, and reports."""

import json
import random
from pathlib import Path

import pytest

from tessera.bayesopt import functions
from tessera.bayesopt import objective as objectives
from tessera.bayesopt.jobs import jobs as jobs_of
from tessera.bayesopt.params import StudyParams
from tessera.bayesopt.stages import confirm, propose, runs, suite_report
from tessera.bayesopt.stages import study as bayesopt_study
from tessera.bayesopt.trial import Trial
from tessera.common import files, run_files

BRANIN = functions.get("branin")


def study(**changes: object) -> StudyParams:
    plain = {
        "space": {
            "x.x0": {"kind": "float", "low": -5.0, "high": 10.0},
            "x.x1": {"kind": "float", "low": 0.0, "high": 15.0},
        },
        "objective": {"stage": "bayesopt_function", "params": {"function": "branin"}, "metric": ["regret"]},
        "budget": 12,
        "lag": 3,
        "seed": 1,
    }
    return StudyParams.model_validate_json(json.dumps(plain | changes))


def chain(directory: Path, params: StudyParams, order: random.Random) -> list[Path]:
    """Run the static DAG of a study in a random order that its dependencies allow; return the results."""
    proposal = [directory / str(i) / "proposal.json" for i in range(params.budget)]
    result = [directory / str(i) / "result.json" for i in range(params.budget)]
    while not all(path.exists() for path in result):
        ready = []
        for i in range(params.budget):
            if not proposal[i].exists():
                needed = [*proposal[:i], *result[: max(i - params.lag + 1, 0)]]
                if all(path.exists() for path in needed):
                    ready.append(("propose", i))
            elif not result[i].exists():
                ready.append(("evaluate", i))
        step, i = order.choice(ready)
        if step == "propose":
            seen = result[: max(i - params.lag + 1, 0)]
            propose.main(params, i, proposal[:i], order.sample(seen, len(seen)), proposal[i])
        else:
            trial = Trial.from_json(files.read_json(proposal[i]), str(proposal[i]))
            value = BRANIN({name.removeprefix("x."): x for name, x in trial.params.items()})
            files.write_json(result[i], trial.ended(value).to_json())
    return result


def test_any_order_of_jobs_gives_the_same_bytes(tmp_path: Path) -> None:
    params = study()
    once, again = (
        [path.read_bytes() for path in chain(tmp_path / str(seed), params, random.Random(seed))] for seed in (1, 2)
    )
    assert once == again
    trials = [Trial.from_json(json.loads(text), "result") for text in once]
    assert trials[5].seen == (0, 1, 2)
    assert trials[5].pending == (3, 4)
    assert {trial.kind for trial in trials} >= {"random", "thompson"}


def test_a_baseline_comes_first(tmp_path: Path) -> None:
    params = study(baseline={"x.x0": 0.0, "x.x1": 7.5})
    propose.main(params, 0, [], [], tmp_path / "proposal.json")
    found = files.read_json(tmp_path / "proposal.json")
    assert (found["kind"], found["params"]) == ("baseline", {"x.x0": 0.0, "x.x1": 7.5})
    with pytest.raises(ValueError, match=r"baseline: x\.x0 = 11\.0; expected a number from -5\.0 to 10\.0"):
        study(baseline={"x.x0": 11.0, "x.x1": 7.5})


def published(directory: Path, params: StudyParams, results: list[Path], confirmations: list[Path]) -> dict[str, Path]:
    """Files of the report of a study called branin."""
    costs = [path.with_name("cost.json") for path in results]
    out = {name: directory / name for name in ("trials.csv", "trace.svg", "metrics.json", "runs.jsonl")}
    table, figure, *others = out.values()
    bayesopt_study.main(params, "branin", results, costs, confirmations, [table], [figure], *others)
    return out


def test_table_figure_and_runs_of_a_study(tmp_path: Path) -> None:
    params = study(budget=4, baseline={"x.x0": 0.0, "x.x1": 7.5})
    results = chain(tmp_path, params, random.Random(0))
    failed = Trial.from_json(files.read_json(results[2]), "result")
    files.write_json(results[2], Trial(id=2, params=failed.params, kind="random").ended(None, error="no").to_json())
    for number, path in enumerate(results):
        files.write_json(path.with_name("cost.json"), {"seconds": float(number)})
    out = published(tmp_path, params, results, [])
    table = files.read_csv(out["trials.csv"])
    assert table["trial"].tolist() == [0, 1, 2, 3]
    assert table["state"].tolist() == ["done", "done", "failed", "done"]
    metrics = files.read_json(out["metrics.json"])
    assert metrics["failed"] == 1
    assert metrics["baseline"] == pytest.approx(BRANIN({"x0": 0.0, "x1": 7.5}))
    assert metrics["best"]["value"] == table["value"].min()
    assert metrics["confirmed"] is None
    records = run_files.read(out["runs.jsonl"])
    assert [record.name for record in records] == ["trial 0", "trial 1", "trial 2", "trial 3"]
    assert [record.job for record in records] == [f"bayesopt_evaluate/branin/{number}" for number in range(4)]
    assert [record.metrics["seconds"] for record in records] == [0.0, 1.0, 2.0, 3.0]
    assert ["value" in record.metrics for record in records] == [True, True, False, True]
    assert records[2].note == "failed: no"
    assert records[0].figures == [str(out["trace.svg"])]
    assert out["trace.svg"].read_text().startswith("<?xml")

    again = [tmp_path / f"confirm-{i}.json" for i in range(4)]
    for i, (path, tuned) in enumerate(zip(again, (1.0, 2.0, 3.0, None), strict=True)):
        files.write_json(path, {"seed": i + 1, "trial": 3, "baseline": 3.0, "tuned": tuned})
    confirmed = files.read_json(published(tmp_path, params, results, again)["metrics.json"])["confirmed"]
    assert (confirmed["seeds"], confirmed["failed"], confirmed["baseline"], confirmed["tuned"]) == (4, 1, 3.0, 2.0)
    # Student's t of two degrees of freedom: 4.303 / sqrt(3) on either side of the mean difference.
    assert (confirmed["low"], confirmed["high"]) == pytest.approx((-1 - 2.484, -1 + 2.484), abs=1e-3)


def confirmation(directory: Path, trials: list[Trial], space: dict, monkeypatch: pytest.MonkeyPatch) -> dict:
    """The file of replicate 2 of trials, whose values with another seed are that seed plus x; none for x = 0."""
    results = [directory / f"{trial.id}.json" for trial in trials]
    for path, trial in zip(results, trials, strict=True):
        files.write_json(path, trial.to_json())

    def run(_: object, values: dict, scratch: Path) -> tuple[float | None, str | None]:
        return (values["seed"] + values["x"], None) if values["x"] else (None, "no")

    monkeypatch.setattr(objectives, "run", run)
    content = {
        "proposals": {"space": space, "baseline": trials[0].params, "seed": 0},
        "objective": {"stage": "any", "metric": ["a"], "sections": ["seed"]},
        "given": {"seed": 7},
    }
    path = directory / "confirmation.json"
    confirm.main(confirm.Params.model_validate_json(json.dumps(content)), results[::-1], 2, path)
    return files.read_json(path)


def test_baseline_and_best_are_run_again_with_another_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of few trials, the best is that of least value."""
    trials = [
        Trial(id=0, params={"x": 0.0, "y": 0.0}, kind="baseline").ended(3.0),
        Trial(id=1, params={"x": 1.0, "y": 0.0}, kind="random").ended(2.0),
        Trial(id=2, params={"x": 2.0, "y": 0.0}, kind="random").ended(None, error="no"),
    ]
    space = {name: {"kind": "float", "low": 0.0, "high": 2.0} for name in "xy"}
    outcome = confirmation(tmp_path, trials, space, monkeypatch)
    assert outcome == {"seed": 10, "trial": 1, "baseline": None, "tuned": 11.0}


def test_of_noisy_values_the_recommended_trial_is_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One lucky value at a point that is otherwise bad is not what the model recommends."""
    values = {0.5: [1.0, 1.1, 0.9, 1.05, -0.2], 1.0: [0.1, 0.0, -0.1, 0.05, -0.05], 1.5: [1.0, 1.2, 0.9, 1.1, 0.95]}
    pairs = [(x, value) for x, several in values.items() for value in several]
    trials = [Trial(id=i, params={"x": x}, kind="random").ended(value) for i, (x, value) in enumerate(pairs)]
    outcome = confirmation(tmp_path, trials, {"x": {"kind": "float", "low": 0.0, "high": 2.0}}, monkeypatch)
    assert pairs[outcome["trial"]][0] == 1.0
    assert (outcome["baseline"], outcome["tuned"]) == (10.5, 11.0)


def test_what_cannot_be_run_again_is_refused() -> None:
    with pytest.raises(ValueError, match="confirm = 2: must be 0 for a study without a baseline"):
        study(confirm=2)
    with pytest.raises(ValueError, match="confirm = 2: must be 0 for an objective without seed"):
        study(confirm=2, baseline={"x.x0": 0.0, "x.x1": 7.5})


def test_a_job_of_a_benchmark(tmp_path: Path) -> None:
    job = {"function": "branin", "name": "mine", "sampler": {"method": "ucb", "edges": "none"}, "mode": "lag",
           "workers": 2, "lag": 3, "spread": 0.5, "seeds": [4, 7], "evaluations": 9, "noise": 0.1}  # fmt: skip
    params = runs.Params.model_validate_json(json.dumps({"job": job, "seed": 0}))
    runs.main(params, tmp_path / "runs.parquet", tmp_path / "cost.json")
    table = files.read_parquet(tmp_path / "runs.parquet")
    assert set(zip(table["sampler"], table["seed"], table["schedule"], strict=True)) == {
        ("mine", 4, "lag 3"),
        ("mine", 7, "lag 3"),
    }
    assert set(table["kind"]) == {"random", "ucb"}
    assert len(table) == 18
    assert (table["value"] - table["regret"] != BRANIN.least).all()  # values are noisy, regrets are not
    assert [cost["seed"] for cost in files.read_json(tmp_path / "cost.json")] == [4, 7]


def test_the_report_of_a_benchmark(tmp_path: Path) -> None:
    suite = {
        "functions": ["branin", "levy4"],
        "samplers": {"ours": {}, "sobol": {"sampler": "sobol"}},
        "reference": "ours",
        "seeds": 3,
        "evaluations": 9,
        "noise": 0.0,
        "schedule": {"workers": 2, "spread": 0.5},
        "lag": {"sampler": "ours", "function": "branin", "lags": [1, 2]},
        "block": 2,
    }
    params = suite_report.Params.model_validate_json(json.dumps({"suite": suite, "seed": 0}))
    jobs = jobs_of(params.suite)
    for name, job in jobs.items():
        job_params = runs.Params.model_validate_json(json.dumps({"job": job.model_dump(mode="json"), "seed": 0}))
        runs.main(job_params, tmp_path / f"{name}.parquet", tmp_path / f"{name}.json")
    texts, tables = ["results.md"], ["regrets.csv", "comparison.csv", "lag.csv"]
    figures = [f"{name}.svg" for name in ("proposals", "regret", "edges", "lag")]
    suite_report.main(
        params,
        "bayesopt_small",
        [tmp_path / f"{name}.parquet" for name in jobs],
        [tmp_path / f"{name}.json" for name in jobs],
        *([tmp_path / name for name in names] for names in (texts, tables, figures)),
        tmp_path / "metrics.json",
        tmp_path / "runs.jsonl",
    )
    metrics = files.read_json(tmp_path / "metrics.json")
    regrets = files.read_csv(tmp_path / "regrets.csv").set_index(["function", "sampler"])
    assert regrets.index.tolist() == [(f, s) for f in suite["functions"] for s in suite["samplers"]]
    assert metrics["regret"]["levy4"]["sobol"]["regret_median"] == regrets.loc[("levy4", "sobol"), "regret_median"]
    assert set(metrics["lag"]) == {"sync", "async", "lag_1", "lag_2"}
    assert metrics["comparison"]["all"].keys() == {"sobol"}
    lines = (tmp_path / "results.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in lines[-2:]] == ["| ours", "| sobol"]
    assert all((tmp_path / name).read_text().startswith("<?xml") for name in figures)
    records = run_files.read(tmp_path / "runs.jsonl")
    assert len(records) == 3 * (2 * 2 + 3)
    assert {record.experiment for record in records} == {"bayesopt/small"}
    for record in records:
        rule, name, *job = record.job.split("/")
        assert (rule, name) == ("bayesopt_runs", "bayesopt_small")
        assert int(record.tags["seed"]) in jobs["/".join(job)].seeds
        assert record.history["regret"][-1] == (9, record.metrics["final_regret"])
        assert record.figures == [str(tmp_path / "regret.svg")]
