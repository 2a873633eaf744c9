"""The rules keep to the conventions, and dvc.yaml says what they say."""

import importlib
import inspect
import itertools
import os
import shlex
import subprocess
import sys
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from snakemake.scheduling.job_scheduler import JobScheduler
from trees import ROOT

from tessera import params
from tessera.common import code
from tessera.common import stage as command_line
from tessera.workflow import captions, dvc_stages, pipeline
from tessera.workflow.dvc_stages import Facts

#: The rule that starts another Snakemake.
WITHOUT_STAGE = {"smoke"}
#: Rules that read what a run leaves behind: dvc.lock, claims of the default scale, all that is shown.
OF_A_RUN = {"claims", "front", "provenance", "shown"}


def snakemake(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@contextmanager
def rules_of(*params: Path) -> Iterator[list]:
    """Snakemake's own view of the rules, with some files of parameters."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import ConfigSettings, OutputSettings, Quietness, ResourceSettings

    here = Path.cwd()
    os.chdir(ROOT)
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        settings = {"config_settings": ConfigSettings(configfiles=params), "snakefile": ROOT / "Snakefile"}
        yield list(api.workflow(ResourceSettings(cores=2), **settings)._workflow.rules)
    os.chdir(here)


@pytest.fixture(scope="module")
def rules() -> Iterator[list]:
    with rules_of() as rules:
        yield rules


@pytest.fixture(scope="module")
def facts() -> Iterator[dict[str, Facts]]:
    here = Path.cwd()
    os.chdir(ROOT)
    yield dvc_stages.facts(ROOT / "Snakefile", pipeline.stages())
    os.chdir(here)


def gpus(rule: Any, **wildcards: str) -> int:
    """GPUs that a job of a rule asks for."""
    return rule.resources.get("gpu").evaluate(SimpleNamespace(**wildcards)).value or 0


def dry_run(directory: Path, *names: str, overlay: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Plan some targets on the scale of the smoke run, with further parameters laid over its own."""
    files = [str(path) for path in (ROOT / "params.yaml", ROOT / "params/smoke.yaml", overlay) if path]
    return snakemake("-n", "-p", "--directory", str(directory), "--configfile", *files, "--", *names)


def targets(rules: list) -> list[str]:
    """What a person may ask for: rules without wildcards."""
    return [rule.name for rule in rules if not rule.has_wildcards() and rule.name not in OF_A_RUN]


def plan(directory: Path, *names: str) -> list[tuple[str, list[str]]]:
    """The commands of some targets, planned together in an empty directory; each must be one that its stage takes."""
    done = dry_run(directory, *names)
    assert done.returncode == 0, done.stdout + done.stderr
    planned = list(commands(done.stdout + done.stderr))
    for module, words in planned:
        main = importlib.import_module(module).main
        arguments = command_line.parser(main).parse_args(words)
        if "params" in arguments:
            command_line._checked(typing.get_type_hints(main)["params"], arguments.params)
    return planned


def commands(printed: str) -> Iterator[tuple[str, list[str]]]:
    """Module and arguments of every stage that Snakemake prints; the redirection behind them is left out."""
    for line in printed.splitlines():
        _, _, rest = line.partition("python -m tessera.")
        if rest:
            name, *words = shlex.split(f"tessera.{rest}")
            yield name, list(itertools.takewhile(lambda word: word not in (">", "2>&1", "|"), words))


def test_all_targets_can_be_planned_together(rules: list, tmp_path: Path) -> None:
    planned = {module for module, _ in plan(tmp_path, *targets(rules))}
    made = {code.stages()[rule.name] for rule in rules if rule.name in code.stages() and rule.name not in OF_A_RUN}
    # A refit is asked for by params.
    assert made - planned <= {"tessera.workflow.stages.captions", "tessera.puzzle.stages.refit"}


GPU = "{source: measured, hardware: cuda, dtype: bfloat16, workload: {batch: 8, prefill: 64, decode: 64}}"


@pytest.mark.parametrize(
    ("costs", "target"),
    [(f"{{h100: null, cpu: null, gpu: {GPU}}}", "gpu"), ("{cpu: null}", "h100")],
    ids=["a GPU alone", "a profile alone"],
)
def test_every_puzzle_target_can_be_planned_without_a_cpu(costs: str, target: str, tmp_path: Path) -> None:
    """Budgets of the studies are then those of the only target. Text of one's own has its licence."""
    (tmp_path / "own.txt").write_text("a text")
    own, file = f"{{files: [{tmp_path / 'own.txt'}], licence: CC BY 4.0}}", tmp_path / "mine.yaml"
    file.write_text(f"puzzle: {{costs: {{targets: {costs}}}}}\ndata: {{text: {{sources: {{mine: {own}}}}}}}\n")
    studies = [path.parent.name for path in (code.PACKAGE / "puzzle/studies").glob("*/rules.smk")]
    done = dry_run(tmp_path, "puzzle", "puzzle_export", *(f"puzzle_{study}" for study in studies), overlay=file)
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed
    assert f"data/puzzle/costs/{target}.parquet" in printed and "data/puzzle/costs/cpu.parquet" not in printed
    assert '"content": "CC BY 4.0"' in printed


def test_jobs_of_whole_models_ask_for_all_gpus_that_they_spread_over(tmp_path: Path) -> None:
    file = tmp_path / "overlay.yaml"
    file.write_text("puzzle: {compute: {device: cuda, gpus: 4}}\n")
    with rules_of(ROOT / "params.yaml", file) as others:
        asked = {rule.name: gpus(rule, target="h100") for rule in others}
    whole = ["puzzle_activations", "puzzle_search_target", "puzzle_refit", "puzzle_evaluate_child", "puzzle_frontier"]
    assert {asked[name] for name in [*whole, "puzzle_tasks_answers"]} == {4}
    assert {asked[name] for name in ("puzzle_library_part", "puzzle_scores_part", "puzzle_heal_full")} == {1}


def test_jobs_that_time_on_a_gpu_ask_for_it(rules: list, tmp_path: Path) -> None:
    assert not [rule.name for rule in rules if gpus(rule, target="cpu")]
    file = tmp_path / "mine.yaml"
    file.write_text(f"puzzle: {{costs: {{targets: {{cpu: null, gpu: {GPU}}}}}}}\n")
    named = {"puzzle_speed", "puzzle_peers_speed", "puzzle_tasks_latency", "puzzle_validity_time"}
    with rules_of(ROOT / "params.yaml", file) as others:
        assert {rule.name for rule in others if gpus(rule, target="gpu")} == named | {"puzzle_costs_target"}
        assert {rule.name for rule in others if gpus(rule, target="h100")} == named


def test_a_target_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("puzzle_studies: {peers: {target: gpu}}\n")
    done = dry_run(tmp_path, "puzzle_peers", overlay=file)
    assert done.returncode != 0
    words = "puzzle_studies.peers.target = 'gpu': no such cost target; expected one of h100, cpu"
    assert words in done.stdout + done.stderr


@pytest.mark.slow
def test_every_target_can_be_planned_by_itself(rules: list, tmp_path: Path) -> None:
    for target in targets(rules):
        assert plan(tmp_path, target) or target in WITHOUT_STAGE, target


def test_every_study_has_a_target_of_its_name(rules: list) -> None:
    names = {rule.name for rule in rules}
    studies = {code.study(path.parent) for path in code.PACKAGE.rglob("rules.smk")}
    assert studies - {"", *names} == set()


def test_rule_stage_log_and_benchmark_have_one_name(rules: list) -> None:
    """Rules that share a stage call that of another rule, whose name theirs begins with or which has theirs."""
    faults = []
    for rule in rules:
        if rule.norun:
            continue
        for folder, ending, paths in (("logs", ".log", rule.log), ("logs/benchmarks", ".tsv", [rule.benchmark])):
            whole = [f"{folder}/{rule.name}{ending}"]
            fits = all(str(path).startswith(f"{folder}/{rule.name}/") for path in paths)
            if not (fits if rule.has_wildcards() else list(map(str, paths)) == whole):
                faults.append(f"{rule.name}: {', '.join(map(str, paths))} is not named after the rule")
        if rule.name not in WITHOUT_STAGE and module_of(rule) not in code.stages().values():
            faults.append(f"{rule.name}: params.stage = stage(NAME) is missing")
    assert not faults, "\n".join(faults)


def module_of(rule: Any) -> str | None:
    """The module of the stage that a rule calls by stage()."""
    function = dict(rule.params._allitems()).get("stage")
    return inspect.getclosurevars(function).nonlocals.get("module") if callable(function) else None


def test_every_stage_has_a_rule_of_its_name(rules: list) -> None:
    """Except objectives, which trials of Bayesian optimisation run, and the profile, which `tessera puzzle` runs."""
    objectives = {study.objective.stage for study in params.load(ROOT / "params.yaml").bayesopt.studies.values()}
    named = {rule.name: module_of(rule) for rule in rules if not rule.norun}
    faults = [name for name, module in code.stages().items() if named.get(name) != module]
    assert set(faults) == objectives | {"puzzle_profile"}


def test_rules_keep_to_the_conventions(rules: list) -> None:
    faults = []
    for rule in rules:
        if rule.norun:
            continue
        outputs = list(rule.output._allitems())
        lacking = [what for what in ("log", "benchmark", "message") if not getattr(rule, what)]
        lacking += ["threads"] * ("_cores" not in rule.resources)
        lacking += ["names of outputs"] * (len({name for name, _ in outputs if name}) < len(outputs))
        module = module_of(rule)
        source = {str(path) for path in rule.input if str(path).startswith("src/")}
        if module and rule.name != "data_fetch" and f"src/{module.replace('.', '/')}.py" not in source:
            lacking.append(f'code=code("{rule.name}")')
        if lacking and rule.name not in WITHOUT_STAGE:
            faults.append(f"{rule.name} lacks {', '.join(lacking)}")
    assert not faults, "\n".join(faults)


def test_every_report_item_has_a_caption(rules: list) -> None:
    known = captions.captions()
    folder = Path("build/captions").absolute()
    lacking = [
        f"{rule.name}: {path} has no caption {caption}"
        for rule in rules
        for path in rule.output
        if (item := getattr(path, "flags", {}).get("report"))
        and (caption := Path(item.caption.get_path_or_uri(secret_free=True)).relative_to(folder).as_posix())
        not in known
    ]
    assert not lacking, "\n".join(lacking)


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
    for name, expected in dvc_stages.expected(pipeline.stages(ROOT / "dvc.yaml"), facts, content).items():
        for key, value in expected.items():
            assert content[name].get(key, []) == value, f"{name}.{key} is out of step: run make dvc"


def test_dvc_stages_cover_what_the_rules_make(facts: dict[str, Facts]) -> None:
    for stage in pipeline.stages(ROOT / "dvc.yaml"):
        of_stage = facts[stage.name]
        for path in sorted(of_stage.outputs - of_stage.temporary):
            assert any(Path(path).is_relative_to(out) for out in stage.outs), f"{stage.name}: {path} is in no out"
        for out in stage.outs:
            made = [path for path in of_stage.outputs - of_stage.temporary if Path(path).is_relative_to(out)]
            assert made, f"{stage.name}: no rule makes anything in {out}"


def test_no_two_stages_share_a_rule(facts: dict[str, Facts]) -> None:
    names = [rule for of_stage in facts.values() for rule in of_stage.rules]
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
