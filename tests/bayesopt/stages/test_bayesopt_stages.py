"""The stages of a study of the workflow: proposals from files in any order, and evaluations that go wrong."""

import json
import multiprocessing
import random
import sys
import time
from pathlib import Path

import psutil
import pytest

from tessera.bayesopt import functions
from tessera.bayesopt import objective as objectives
from tessera.bayesopt.params import StudyParams
from tessera.bayesopt.stages import benchmark, confirm, propose
from tessera.bayesopt.stages import evaluate as bayesopt_evaluate
from tessera.bayesopt.stages import study as bayesopt_study
from tessera.bayesopt.trial import Trial
from tessera.common import files
from tessera.puzzle.stages import distillation
from tessera.tempotron.stages import rate as tempotron_rate
from tessera.tsvm.stages import jitter as tsvm_jitter

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
    with pytest.raises(ValueError, match=r"baseline: x\.x0 = 11\.0; valid is a number from -5\.0 to 10\.0"):
        study(baseline={"x.x0": 11.0, "x.x1": 7.5})


def evaluate(directory: Path, objective: dict, point: dict) -> Trial:
    proposal = directory / "proposal.json"
    files.write_json(proposal, Trial(id=0, params=point, kind="random").to_json())
    params = bayesopt_evaluate.Params.model_validate_json(json.dumps({"objective": objective, "given": {"seed": 3}}))
    bayesopt_evaluate.main(params, proposal, directory / "result.json", directory / "cost.json")
    assert files.read_json(directory / "cost.json")["seconds"] >= 0
    assert not (directory / "scratch").exists()
    return Trial.from_json(files.read_json(directory / "result.json"), "result")


def test_an_objective_is_a_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The stage takes no seed: what is given must be what it wants.
    objective = {"stage": "bayesopt_function", "params": {"function": "branin"}, "metric": ["value"]}
    refused = evaluate(tmp_path, objective, {"x.x0": 0.0, "x.x1": 0.0})
    assert refused.state == "failed"
    assert refused.error is not None
    assert "--params: seed: unknown key" in refused.error


#: A stage that does what its params tell; it stands for any other.
STAGE = """
import argparse, json, os, subprocess, sys, time
parser = argparse.ArgumentParser()
for name in ("--params", "--out", "--directory"):
    parser.add_argument(name)
given = parser.parse_args()
params = json.loads(given.params)
assert os.path.isdir(os.path.dirname(given.directory)) and params["seed"] == 3
what = params["deep"]["what"]
if what == "raise":
    sys.exit("error: no good")
if what == "bytes":
    sys.stdout.buffer.write(bytes([255]))
    sys.exit(1)
if what in ("hang", "programs"):
    if what == "programs":
        started = [subprocess.Popen(["sleep", "300"], start_new_session=own) for own in (False, True)]
        beside = os.path.dirname(os.path.dirname(given.directory))
        open(os.path.join(beside, "pids"), "w").write(" ".join(str(one.pid) for one in started))
    time.sleep(60)
if what == "die":
    os.kill(os.getpid(), 9)
text = {"nan": "NaN", "null": "null", "text": '"x"'}.get(what, "1.5")
open(given.out, "w").write('{"a": [{"b": ' + text + "}]}")
"""


@pytest.mark.parametrize(
    ("what", "state", "error"),
    [
        ("fine", "done", None),
        ("raise", "failed", "error: no good"),
        ("bytes", "failed", "\\xff"),
        ("hang", "failed", "no answer within 1.0 s"),
        ("programs", "failed", "no answer within 10.0 s"),
        ("nan", "failed", "value = nan; valid is a finite number"),
        ("null", "failed", "the metric is null"),
    ],
)
def test_outcomes_of_an_objective(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, what: str, state: str, error: str | None
) -> None:
    # Programs have to be up before the limit, on a busy machine too; one that hangs may be stopped at any time.
    limit = {"timeout": {"hang": 1.0, "programs": 10.0}[what]} if what in ("hang", "programs") else {}
    found = evaluate(tmp_path, objective(tmp_path, monkeypatch) | limit, {"deep.what": what})
    assert (found.state, found.value) == (state, 1.5 if state == "done" else None)
    assert (error is None and found.error is None) or (error is not None and error in str(found.error))
    assert capsys.readouterr().err == (f"trial 0 failed: {found.error}\n" if state == "failed" else "")
    if what == "programs":
        assert not any(psutil.pid_exists(int(pid)) for pid in (tmp_path / "pids").read_text().split())


def test_programs_of_a_killed_job_end_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = (tmp_path, objective(tmp_path, monkeypatch), {"deep.what": "programs"})
    job = multiprocessing.get_context("fork").Process(target=evaluate, args=given)
    job.start()
    deadline = time.monotonic() + 60
    while not (tmp_path / "pids").exists() or not (text := (tmp_path / "pids").read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    job.kill()
    job.join()
    while any(psutil.pid_exists(int(pid)) for pid in text.split()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("what", "path", "message"),
    [
        ("die", ["a", 0, "b"], "was ended by SIGKILL; run again"),
        ("text", ["a", 0, "b"], "is 'x'; valid is the path of a number"),
        ("fine", ["a", 0, "c"], r"there is no 'c'; there is \['b'\]"),
        ("fine", ["a", 1], "there is no 1"),
    ],
)
def test_faults_that_are_not_the_trial_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, path: list, message: str
) -> None:
    with pytest.raises((ValueError, OSError), match=message):
        evaluate(tmp_path, objective(tmp_path, monkeypatch) | {"metric": path}, {"deep.what": what})
    assert not (tmp_path / "result.json").exists()


def objective(directory: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    """An objective whose stage is the script above: it is found instead of tessera.stages.NAME."""
    script = directory / "python"
    script.write_text(f"#!{sys.executable}\nimport sys\ndel sys.argv[1:3]\n{STAGE}")
    script.chmod(0o755)
    monkeypatch.setattr(objectives.sys, "executable", str(script))
    arguments = {"directory": "{scratch}/child"}
    return {"stage": "any", "arguments": arguments, "output": "out", "metric": ["a", 0, "b"], "timeout": 60.0}


def test_table_figure_and_runs_of_a_study(tmp_path: Path) -> None:
    params = study(budget=4, baseline={"x.x0": 0.0, "x.x1": 7.5})
    results = chain(tmp_path, params, random.Random(0))
    failed = Trial.from_json(files.read_json(results[2]), "result")
    files.write_json(results[2], Trial(id=2, params=failed.params, kind="random").ended(None, error="no").to_json())
    costs = [path.with_name("cost.json") for path in results]
    for path in costs:
        files.write_json(path, {"seconds": 1.0})
    out = {name: tmp_path / f"{name}.out" for name in ("trials", "figure", "metrics", "runs")}
    bayesopt_study.main(params, "branin", results[::-1], costs, [], **out)
    table = files.read_csv(out["trials"])
    assert table["trial"].tolist() == [0, 1, 2, 3]
    assert table["state"].tolist() == ["done", "done", "failed", "done"]
    found = files.read_json(out["metrics"])
    assert found["failed"] == 1
    assert found["baseline"] == pytest.approx(BRANIN({"x0": 0.0, "x1": 7.5}))
    assert found["best"]["value"] == table["value"].min()
    assert len(list(out["runs"].glob("bayesopt_evaluate/*.json"))) == 4
    assert out["figure"].read_text().startswith("<?xml")
    assert found["confirmed"] is None

    again = [tmp_path / f"confirm-{i}.json" for i in range(4)]
    for i, (path, tuned) in enumerate(zip(again, (1.0, 2.0, 3.0, None), strict=True)):
        files.write_json(path, {"seed": i + 1, "trial": 3, "baseline": 3.0, "tuned": tuned})
    bayesopt_study.main(params, "branin", results, costs, again, **out)
    made = files.read_json(out["metrics"])["confirmed"]
    assert (made["seeds"], made["failed"], made["baseline"], made["tuned"]) == (4, 1, 3.0, 2.0)
    # Student's t of two degrees of freedom: 4.303 / sqrt(3) on either side of the mean difference.
    assert (made["low"], made["high"]) == pytest.approx((-1 - 2.484, -1 + 2.484), abs=1e-3)


def test_baseline_and_best_are_run_again_with_another_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = [
        Trial(id=0, params={"seed_is": 0.0}, kind="baseline").ended(3.0),
        Trial(id=1, params={"seed_is": 1.0}, kind="random").ended(2.0),
        Trial(id=2, params={"seed_is": 2.0}, kind="random").ended(None, error="no"),
    ]
    results = [tmp_path / f"{trial.id}.json" for trial in trials]
    for path, trial in zip(results, trials, strict=True):
        files.write_json(path, trial.to_json())
    asked = []

    def run(_: object, given: dict, scratch: Path) -> tuple[float | None, str | None]:
        asked.append(given)
        return (given["seed"] + given["seed_is"], None) if given["seed_is"] else (None, "no")

    monkeypatch.setattr(objectives, "run", run)
    params = confirm.Params.model_validate_json(
        json.dumps({"objective": {"stage": "any", "metric": ["a"], "sections": ["seed"]}, "given": {"seed": 7}})
    )
    confirm.main(params, results[::-1], 2, tmp_path / "confirmation.json")
    found = files.read_json(tmp_path / "confirmation.json")
    assert found == {"seed": 10, "trial": 1, "baseline": None, "tuned": 11.0}
    assert [one["seed_is"] for one in asked] == [0.0, 1.0]


def test_what_cannot_be_run_again_is_refused() -> None:
    with pytest.raises(ValueError, match="confirm = 2: valid is 0 for a study without a baseline"):
        study(confirm=2)
    with pytest.raises(ValueError, match="confirm = 2: valid is 0 for an objective without seed"):
        study(confirm=2, baseline={"x.x0": 0.0, "x.x1": 7.5})


def test_the_tempotron_s_objective_prefers_momentum(tmp_path: Path) -> None:
    rate = {"afferents": 40, "k": 10.0, "load": 1.75, "replicates": 3, "max_epochs": 400, "learning_rate": 1e-3}
    found = {}
    for momentum in (0.0, 0.95):
        values = {"neuron": {"tau_m": 15.0, "tau_s": 3.75}, "rate": rate | {"decay": 1 - momentum}, "seed": 0}
        tempotron_rate.main(tempotron_rate.Params.model_validate_json(json.dumps(values)), tmp_path / "metrics.json")
        found[momentum] = files.read_json(tmp_path / "metrics.json")
    assert found[0.95]["log10_epochs"] < found[0.0]["log10_epochs"]
    assert found[0.95]["solved"] >= found[0.0]["solved"]


def test_a_job_of_a_benchmark(tmp_path: Path) -> None:
    job = {"function": "branin", "name": "mine", "sampler": {"method": "ucb", "edges": "none"}, "mode": "lag",
           "workers": 2, "lag": 3, "spread": 0.5, "seeds": [4, 7], "evaluations": 9, "noise": 0.1}  # fmt: skip
    params = benchmark.Params.model_validate_json(json.dumps({"job": job, "seed": 0}))
    benchmark.main(params, tmp_path / "runs.parquet", tmp_path / "cost.json")
    table = files.read_parquet(tmp_path / "runs.parquet")
    assert set(zip(table["sampler"], table["seed"], table["schedule"], strict=True)) == {
        ("mine", 4, "lag 3"),
        ("mine", 7, "lag 3"),
    }
    assert set(table["kind"]) == {"random", "ucb"}
    assert len(table) == 18
    assert (table["value"] - table["regret"] != BRANIN.least).all()  # values are noisy, regrets are not
    assert [one["seed"] for one in files.read_json(tmp_path / "cost.json")] == [4, 7]


def jitter(directory: Path, **changes: object) -> dict:
    task = {"afferents": 30, "targets": 2, "duration": 100.0, "tasks": 1, "copies": 3, "jitter": 1.0, "window": 2.0}
    svm = {"tau_c": 2.0, "hold": 2.0, "sigma": 1.0}
    values = {"svm": svm, "task": task | changes, "seed": 0}
    tsvm_jitter.main(tsvm_jitter.Params.model_validate_json(json.dumps(values)), directory / "metrics.json")
    return files.read_json(directory / "metrics.json")


def test_the_support_vector_machine_s_objective_grows_with_jitter(tmp_path: Path) -> None:
    little, much = jitter(tmp_path, jitter=0.01), jitter(tmp_path, jitter=20.0)
    assert little["miss"] == little["miss_learned"] == 0.0
    assert little["solved"] == 1.0
    assert 0 < much["miss"] <= 1
    assert much["miss_learned"] == 0.0


def distilled(parent: Path, tokens: Path, directory: Path, rate: float, **changes: object) -> dict:
    optimiser = {"tokens": 120, "batch_windows": 2, "learning_rate": 1e-3}
    values = {
        "space": {"attention": {"kv1": {"kind": "gqa", "kv_heads": 1}},
                  "ffn": {"ffn50": {"kind": "gated", "width": 0.5}}},
        "library": {"jobs": 1, "initialisation": "least_squares", "selection": "reconstruction", "loss": "per_token",
                    "ridge": 1e-4, "valid_windows": 4, "distillation": optimiser},
        "heal": {"cosine": 1.0, "kl": 1.0, "lm": 0.0, "train": "blocks", "checkpoint_steps": 10,
                 "equal": optimiser | {"tokens": 600, "learning_rate": rate}, "full": optimiser},
        "child": {"layers": [0, 2], "block": "kv1+ffn50", "window": 20, "calibration_windows": 12, "heal_windows": 30,
                  "valid_windows": 6} | changes,
        "seed": 3,
    }  # fmt: skip
    params = distillation.Params.model_validate_json(json.dumps(values))
    distillation.main(params, parent, tokens, directory / "library", directory / "metrics.json")
    return files.read_json(directory / "metrics.json")


def test_puzzle_s_objective_is_lowered_by_healing(parent, tokens, tmp_path: Path) -> None:
    found = distilled(parent(), tokens, tmp_path, 1e-3)
    assert 0 < found["kl_div"] < found["kl_div_before"]
    assert len(found["training_kl_div"]) == 15
    again = distilled(parent(), tokens, tmp_path / "again", 1e-3)
    assert again == found
    still = distilled(parent(), tokens, tmp_path / "still", 1e-12)
    assert still["kl_div"] == pytest.approx(still["kl_div_before"], rel=1e-3)
    assert still["kl_div_before"] == found["kl_div_before"]


def test_puzzle_s_objective_refuses_layers_that_are_not_there(parent, tokens, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"child\.layers = \[7\]: the parent has the layers 0 to 2"):
        distilled(parent(), tokens, tmp_path, 1e-3, layers=[0, 7])
    with pytest.raises(ValueError, match="layers = "):
        distilled(parent(), tokens, tmp_path, 1e-3, layers=[1, 1])
