"""The rules keep to the conventions, and dvc.yaml says what they say."""

import importlib
import itertools
import os
import re
import shlex
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from snakemake.scheduling.job_scheduler import JobScheduler

from tessera.common import stage as command_line
from tessera.workflow import bridge, dvc_stages
from tessera.workflow.dvc_stages import Facts

TARGETS = [
    "all",
    "smoke",
    "data",
    "claims",
    "front",
    "puzzle",
    "bayesopt",
    "bayesopt_benchmark",
    "bayesopt_variations",
    *(f"bayesopt_tunes_{study}" for study in ["tempotron", "tsvm", "puzzle"]),
    *(f"puzzle_{step}" for step in ["library", "scores", "costs", "search", "child", "report", "export"]),
    "puzzle_validity",
    "puzzle_cost_validation",
    "puzzle_peers",
    "puzzle_sensitivity",
    "puzzle_ablations",
    "puzzle_tasks",
    "puzzle_task_scores",
    "puzzle_evolution",
    "puzzle_coupled",
    "tempotron",
    *(f"tempotron_{step}" for step in ["theory", "capacity", "clusters", "real"]),
    "balanced",
    *(f"balanced_{step}" for step in ["theory", "margins", "learning", "lif", "attractor", "report"]),
    "tsvm",
    *(f"tsvm_{step}" for step in ["margin", "robustness", "kernels", "real", "report"]),
]
#: Rules that only name targets, and the one that starts another Snakemake.
WITHOUT_FILES = {"smoke"}


def snakemake(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def rules() -> Iterator[list]:
    """Snakemake's own view of the rules."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import OutputSettings, Quietness, ResourceSettings

    here = Path.cwd()
    os.chdir(ROOT)
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        yield [rule for rule in api.workflow(ResourceSettings(cores=2), snakefile=ROOT / "Snakefile")._workflow.rules]
    os.chdir(here)


@pytest.fixture(scope="module")
def facts() -> Iterator[dict[str, Facts]]:
    here = Path.cwd()
    os.chdir(ROOT)
    yield dvc_stages.facts(ROOT / "Snakefile", bridge.stages())
    os.chdir(here)


def plan(directory: Path, *targets: str) -> list[tuple[str, list[str]]]:
    """The commands of some targets, planned together in an empty directory; each must be one that its stage takes."""
    files = [str(ROOT / name) for name in ("params.yaml", "params/smoke.yaml")]
    done = snakemake("-n", "-p", "--directory", str(directory), "--configfile", *files, "--", *targets)
    assert done.returncode == 0, done.stdout + done.stderr
    found = list(commands(done.stdout + done.stderr))
    for name, arguments in found:
        main = importlib.import_module(f"tessera.stages.{name}").main
        given = command_line.parser(main).parse_args(arguments)
        if "params" in given:
            command_line._checked(typing.get_type_hints(main)["params"], given.params)
    return found


def test_all_targets_can_be_planned_together(tmp_path: Path) -> None:
    assert {name for name, _ in plan(tmp_path, *TARGETS)} >= {"data_fetch", "puzzle_library", "bayesopt_propose"}


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_every_target_can_be_planned_by_itself(target: str, tmp_path: Path) -> None:
    assert plan(tmp_path, target) or target in WITHOUT_FILES


def commands(printed: str) -> Iterator[tuple[str, list[str]]]:
    """Stage and arguments of every command that Snakemake prints; the redirection behind them is left out."""
    for line in printed.splitlines():
        _, found, rest = line.partition("python -m tessera.stages.")
        if found:
            name, *words = shlex.split(rest)
            yield name, list(itertools.takewhile(lambda word: word not in (">", "2>&1"), words))


def test_rules_keep_to_the_conventions(rules: list) -> None:
    for rule in rules:
        if rule.norun:
            continue
        assert rule.log, f"{rule.name} has no log"
        assert rule.benchmark, f"{rule.name} has no benchmark"
        assert rule.message, f"{rule.name} has no message"
        assert "_cores" in rule.resources, f"{rule.name} has no threads"
        if rule.name in WITHOUT_FILES:
            continue
        named = {name for name, _ in rule.output._allitems() if name}
        assert len(named) == len([name for name, _ in rule.output._allitems()]), (
            f"{rule.name} has an output without name"
        )
        stages = re.findall(r"python -m tessera\.stages\.(\w+)", rule.shellcmd)
        assert len(stages) == 1, f"{rule.name} calls {stages}; valid is one stage"
        code = [str(path) for path in rule.input if str(path).startswith("src/")]
        assert f"src/tessera/stages/{stages[0]}.py" in code or rule.name == "data_fetch", (
            f"{rule.name} has no code={stages}"
        )


def test_rules_are_read_without_heavy_packages() -> None:
    """They are read by every start of Snakemake, also of --list-rules."""
    call = "import sys, tessera.params, tessera.bayesopt.jobs, tessera.data.packages, tessera.data.parent"
    heavy = "{'torch', 'scipy', 'pandas', 'numba', 'transformers', 'mlflow'}"
    done = subprocess.run(
        [sys.executable, "-c", f"{call}; print(sorted({heavy} & set(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_the_scheduler_has_the_limit_that_the_snakefile_takes_away() -> None:
    """Snakemake may come to name it otherwise, and then would take no notice."""
    assert "job_rate_limiter" in JobScheduler.__init__.__code__.co_names
    assert "job_rate_limiter" in JobScheduler.schedule.__code__.co_names
    assert "workflow.scheduler.job_rate_limiter = None" in (ROOT / "Snakefile").read_text()


def test_dvc_stages_are_in_step_with_the_rules(facts: dict[str, Facts]) -> None:
    content = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for name, wanted in dvc_stages.expected(bridge.stages(ROOT / "dvc.yaml"), facts, content).items():
        for key, value in wanted.items():
            assert content[name].get(key, []) == value, f"{name}.{key} is out of step: run make dvc"


def test_dvc_stages_cover_what_the_rules_make(facts: dict[str, Facts]) -> None:
    for stage in bridge.stages(ROOT / "dvc.yaml"):
        one = facts[stage.name]
        for path in sorted(one.outputs - one.temporary):
            assert any(Path(path).is_relative_to(out) for out in stage.outs), f"{stage.name}: {path} is in no out"
        for out in stage.outs:
            made = [path for path in one.outputs - one.temporary if Path(path).is_relative_to(out)]
            assert made, f"{stage.name}: no rule makes anything in {out}"


def test_no_two_stages_share_a_rule(facts: dict[str, Facts]) -> None:
    names = [rule for one in facts.values() for rule in one.rules]
    assert len(names) == len(set(names))


def test_wrong_params_are_refused(tmp_path: Path) -> None:
    overlay = tmp_path / "wrong.yaml"
    overlay.write_text("puzzle: {librari: {}, scores: {jobs: 0}}\nsede: 1\n")
    done = snakemake("-n", "--configfile", str(overlay))
    assert done.returncode == 1
    for message in (
        "wrong.yaml: puzzle.librari: unknown key; did you mean 'library'?",
        "wrong.yaml: puzzle.scores.jobs = 0; must be greater than",
        "wrong.yaml: sede: unknown key; did you mean 'seed'?",
    ):
        assert message in done.stderr + done.stdout
