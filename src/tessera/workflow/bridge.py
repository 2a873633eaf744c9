"""Keep dvc.lock and Snakemake's provenance in step.

Both tools decide what is stale, each from its own memory: DVC from dvc.lock (content hashes, in git), Snakemake from
.snakemake/metadata (hashes of inputs, params and code; per working copy, not in git). A file that DVC restored is one
that Snakemake did not see made: it has no record of it, or one of another version. Snakemake alone would then trust
dates, and miss changed params.

DVC may link a file to its cache instead of copying it. Nothing is written through such a link, not even a date. What is
dated is a symbolic link itself, as Snakemake does. A hard link has no date of its own, so a copy takes its place first.

adopt:  before each Snakemake run, settle the files that Snakemake did not see made.
start:  note that a run is under way that dvc.lock does not know of yet.
record: after each successful run, write the stages that it proved current into dvc.lock.
fail:   after any other run, drop what was made of files that changed under way.

Snakemake calls no hook if it has nothing to do. If dvc.lock lacks stages then, as after a kill or a deletion, they are
recorded when the process ends.
"""

import atexit
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import yaml

from tessera.workflow import outputs
from tessera.workflow.pipeline import LOCK, UNRECORDED, Stage, files_of, noted, stages

LOCKS = Path(".snakemake/locks")
#: Set for the Snakemake that adopt starts.
ADOPTING = "TESSERA_ADOPTING"
#: What a mode that executes nothing says of stages that a run would settle first.
NOT_SETTLED = "a run first compares the files of these stages with dvc.lock, and may then need other jobs than listed"
#: Modes of the snakemake command that execute no job: they must change nothing.
READ_ONLY = (
    *("dryrun", "touch", "lint", "list_rules", "list_target_rules", "print_compilation", "containerize", "report"),
    *("generate_unit_tests", "dag", "rulegraph", "filegraph", "d3dag", "unlock", "cleanup_metadata", "cleanup_shadow"),
    *("conda_cleanup_envs", "conda_create_envs_only", "list_conda_envs", "container_cleanup_images", "list_changes"),
    *("list_input_changes", "list_params_changes", "list_untracked", "summary", "detailed_summary", "archive"),
    *("delete_all_output", "delete_temp_output"),
)


def adopt(workflow: Any) -> None:
    """Settle the files that Snakemake did not see made, before it looks at them.

    Those of stages that DVC calls current are touched, which writes their provenance. The others are dated to 1970 and
    their records dropped, so that Snakemake makes them again. A mode that executes nothing does not wait for DVC to
    compare all files: it only names the stages to be settled. Raises RuntimeError with DVC's words if DVC cannot
    tell.
    """
    if not _concerned(workflow) or "DVC_STAGE" in os.environ or any(LOCKS.glob("*")):
        return
    modes = _read_only()
    if not modes:
        _redate()
        if _unrecorded():
            atexit.register(_record_idle, workflow)
    seen = outputs.records()
    unsettled = {stage: paths for stage in stages() if (paths := outputs.unseen(stage.files(), seen))}
    if not unsettled:
        return
    linked = [path for paths in unsettled.values() for path in paths if outputs.hard_linked(path)]
    if modes:
        if "touch" in modes:
            outputs.detach(linked)
        return _say(NOT_SETTLED, unsettled)
    changed = json.loads(_run("dvc", "status", "--json"))
    outputs.detach(linked)
    clean = [stage for stage in unsettled if stage.name not in changed]
    stale = [stage for stage in unsettled if stage.name in changed]
    for stage in stale:
        for path in unsettled[stage]:
            outputs.forget(path, seen, stage.outs)
    if clean:
        rules = [rule for stage in clean for rule in stage.rules]
        targets = [stage.target for stage in clean]
        flags = ["--touch", "--forceall", "--quiet", "progress", "rules", "--allowed-rules", *rules, "--", *targets]
        _run("snakemake", *flags, environment={ADOPTING: "1"})
    _say("adopted from dvc.lock", clean)
    _say("to be rebuilt (recorded by neither Snakemake nor dvc.lock)", stale)


def start(workflow: Any) -> None:
    """Note which stages this run will make. Raises RuntimeError if DVC runs one whose dependencies it does not know."""
    if not _concerned(workflow) or workflow.touch:
        return
    rules = {job.rule.name for job in workflow.dag.needrun_jobs()}
    begun = [stage for stage in stages() if rules.intersection(stage.rules)]
    if "DVC_STAGE" in os.environ and (lacking := [words for stage in begun if (words := _lacking(workflow, stage))]):
        raise RuntimeError("\n".join(lacking))
    _note(_noted() | {stage.name for stage in begun})


def record(workflow: Any, names: Collection[str] | None = None) -> None:
    """Commit to dvc.lock every stage that this run proved current, or those of them that are named.

    A stage is proved if the run looked at all its files, each was made by a job that Snakemake has a record of, and
    nothing that was read changed under way. Files in its outs that no job makes, left by an older and larger grid, are
    removed. Raises RuntimeError in a stage that DVC runs, whose inputs changed under way.
    """
    from snakemake.settings.types import RerunTrigger

    if not _concerned(workflow) or workflow.touch:
        return
    edited = _edited(workflow)
    overlaid = workflow.config_settings.config or workflow.config_settings.configfiles
    if not overlaid and yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8")) != workflow.config:
        edited.add("params.yaml")
    if "DVC_STAGE" in os.environ:
        if edited:
            raise RuntimeError(f"changed under way, run again: {', '.join(sorted(edited))}")
        return
    if edited:
        return _say(f"dvc.lock is not updated, run again; changed under way: {', '.join(sorted(edited))}")
    if overlaid:
        return _say("dvc.lock is not updated: --config or --configfile overrode params.yaml")
    if not workflow.rerun_triggers >= RerunTrigger.all():
        return _say("dvc.lock is not updated: --rerun-triggers left some out")
    jobs = {path: job for job in workflow.dag.jobs for path in job.output}
    asked = [stage for stage in stages() if names is None or stage.name in names]
    proved = []
    for stage in asked:
        if _proved(workflow, stage, jobs):
            if words := _lacking(workflow, stage):
                _say(f"dvc.lock is not updated: {words}")
            else:
                proved.append(stage)
    for stage in proved:
        for path in stage.files():
            if not any(str(parent) in jobs for parent in (path, *path.parents)):
                _say(f"removed, no job makes it: {path}")
                path.unlink()
    if proved:
        try:
            _run("dvc", "commit", "--force", "--no-relink", "--quiet", *(stage.name for stage in proved))
        except RuntimeError as error:
            return _say(f"dvc.lock is not updated: {error}")
    _say("dvc.lock updated", proved)
    _note(_noted() - {stage.name for stage in proved})


def _record_idle(workflow: Any) -> None:
    """After a run that had nothing to do, commit what dvc.lock lacks."""
    if workflow.dag is not None and not len(workflow.dag):
        record(workflow, _unrecorded())


def _unrecorded() -> set[str]:
    """Stages that dvc.lock lacks, or of which it may have an earlier state."""
    recorded = LOCK.read_text(encoding="utf-8") if LOCK.exists() else ""
    return _noted() | {stage.name for stage in stages()} - set(re.findall(r"^  (\S+):$", recorded, re.MULTILINE))


def _noted() -> set[str]:
    names = noted()
    return {stage.name for stage in stages()} if names is None else names


def _note(names: set[str]) -> None:
    if names:
        UNRECORDED.write_text("\n".join(sorted(names)))
    else:
        UNRECORDED.unlink(missing_ok=True)


def fail(workflow: Any) -> None:
    """Drop what this run made of files that changed while they were read."""
    if _concerned(workflow) and not workflow.touch:
        _edited(workflow)


def _concerned(workflow: Any) -> bool:
    """Whether this is a run in the tree of a DVC repository, in the process that the user started."""
    program = Path(sys.argv[0])
    by_snakemake = program.name == "snakemake" or program.parts[-2:] == ("snakemake", "__main__.py")
    if not by_snakemake or not workflow.is_main_process or ADOPTING in os.environ:
        return False
    here = Path.cwd()
    return here == Path(workflow.basedir) and (here / ".dvc").is_dir() and (here / "dvc.yaml").is_file()


def _redate() -> None:
    """Date to now what is dated in the future, which a clock that was wrong has left.

    Snakemake would make what depends on it again for ever, and would remove what it was told to touch.
    """
    now = time.time()
    late = {
        path for stage in stages() for path in files_of(stage.deps + stage.outs) if outputs.modified(path) > now + 1
    }
    if late:
        outputs.detach(path for path in late if path.is_symlink() or outputs.hard_linked(path))
        for path in late:
            os.utime(path, (now, now))
        _say(f"dated in the future, now dated to today: {', '.join(sorted(map(str, late)))}")


def _read_only() -> set[str]:
    """Modes that execute nothing, of those that the command line of this process asks for."""
    from snakemake.cli import parse_args

    with contextlib.redirect_stderr(None):  # it would report the profile a second time
        _, arguments = parse_args(None)
    return {mode for mode in READ_ONLY if getattr(arguments, mode) not in (None, False)}


def _proved(workflow: Any, stage: Stage, jobs: dict[str, Any]) -> bool:
    """Whether the run looked at all jobs of the stage, and each is current by Snakemake's own record of it."""
    dag = workflow.dag
    targets, *_ = workflow.get_rule(stage.target).expand_input({})
    if any(path not in jobs for path in targets):
        return False
    waiting = [jobs[path] for path in targets]
    known: set[Any] = set()
    while waiting:
        job = waiting.pop()
        if job in known or job.rule.name not in stage.rules:
            continue
        known.add(job)
        waiting += dag.job_dependencies(job)
        kept = any(not path.flags.get("temp") for path in job.output)
        if not dag.noneedrun_finished(job) or (kept and not workflow.persistence.has_metadata(job)):
            return False
    return {job.rule.name for job in known} == set(stage.rules) - {stage.target}


def _lacking(workflow: Any, stage: Stage) -> str:
    """What to do about files that the stage reads and dvc.yaml does not name, if there are any."""
    produced = {path for job in workflow.dag.jobs for path in job.output}
    inputs = {path for job in workflow.dag.jobs if job.rule.name in stage.rules for path in job.input} - produced
    deps = [dep.absolute() for dep in stage.deps]
    lacking = sorted(path for path in inputs if not any(Path(path).absolute().is_relative_to(dep) for dep in deps))
    return f"dvc.yaml: stages.{stage.name}.deps lacks {', '.join(lacking)}; run tessera dvc" if lacking else ""


def _edited(workflow: Any) -> set[str]:
    """Files that the run's jobs read and that were changed after the run began.

    The outputs of a job whose input changed after it had started are forgotten: nobody knows which content it read, and
    Snakemake has recorded the later one.
    """
    begun = workflow.start_time.timestamp()
    produced = {path for job in workflow.dag.jobs for path in job.output}
    inputs = {path for job in workflow.dag.jobs for path in job.input} - produced
    changed = {path: time for path in inputs if (time := outputs.modified(Path(path))) > begun}
    seen = outputs.records() if changed else {}
    for job in workflow.dag.finished_jobs if changed else ():
        latest = max((changed.get(path, 0.0) for path in job.input), default=0.0)
        for output in map(Path, job.output):
            if output in seen and latest > json.loads(seen[output].read_text())["starttime"]:
                outputs.forget(output, seen)
    return {str(path) for path in changed}


def _run(tool: str, *arguments: str, environment: dict[str, str] | None = None) -> str:
    """Run a tool of this process's environment and return its output. Raises RuntimeError with its words."""
    installed = Path(sys.executable).with_name(tool)
    command = [str(installed) if installed.exists() else shutil.which(tool) or tool, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | (environment or {}), check=False)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().removeprefix("ERROR: ")
        raise RuntimeError(f"{tool} {arguments[0]} failed: {words}")
    return done.stdout


def _say(what: str, about: Iterable[Stage] | None = None) -> None:
    if about is None:
        print(what, file=sys.stderr)
    elif about:
        print(f"{what}:", *(stage.name for stage in about), file=sys.stderr)
