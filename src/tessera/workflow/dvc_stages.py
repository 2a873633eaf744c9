"""What the stages of dvc.yaml must say, read from Snakemake's rules, so that nobody lists source files by hand.

A stage's outs, metrics and plots are written by hand. Its rules follow from its target: those that make the target's
files, except the rules of stages before it. Its deps are what these rules read and do not make themselves, including
source files; its params are the sections that they are given. Of the Snakefile's global DIRECTORIES, which rules read
whole, the directory is the dep and not each file, so that DVC notices new files as well. Of the source code, a folder
is the dep if the stage runs most of it; Snakemake's inputs stay the exact files.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tessera.common import files
from tessera.workflow import pipeline
from tessera.workflow.pipeline import Stage

#: A folder of source code stands for its files if a stage runs at least LEAST of its modules, those in subfolders
#: included, and at least this SHARE of them. DVC calls a stage changed if any file in the folder changes: with a larger
#: share, dvc.yaml lists hundreds of files; with a smaller one, or a folder per study, an edit of a figure or a README
#: would make DVC, or a clone, compute a study's results again.
SHARE, LEAST = 2 / 3, 3


@dataclass
class Facts:
    """What the rules say of one stage: paths are relative to the working directory."""

    rules: list[str] = field(default_factory=list)
    inputs: set[str] = field(default_factory=set)
    outputs: set[str] = field(default_factory=set)
    temporary: set[str] = field(default_factory=set)
    sections: set[str] = field(default_factory=set)


def facts(snakefile: Path, stages: Sequence[Stage]) -> dict[str, Facts]:
    """Return the facts of each stage; stages are in the order of dvc.yaml, each after those it needs."""
    by_stage: dict[str, Facts] = {}
    taken: set[str] = set()
    for stage, workflow in zip(stages, _workflows(snakefile, [stage.target for stage in stages]), strict=True):
        facts_of_stage = by_stage[stage.name] = Facts()
        sections = workflow.globals.get("SECTIONS", {})
        whole = workflow.globals.get("DIRECTORIES", ())
        for job in workflow.dag.jobs:
            if job.rule.name in taken or not job.output:
                continue
            if job.rule.name not in facts_of_stage.rules:
                facts_of_stage.rules.append(job.rule.name)
            facts_of_stage.inputs.update(_around(path, whole) or path for path in map(str, job.input))
            facts_of_stage.outputs.update(map(str, job.output))
            facts_of_stage.temporary.update(str(path) for path in job.output if path.flags.get("temp"))
            facts_of_stage.sections |= sections.get(getattr(job.params, "cfg", None), set())
        facts_of_stage.rules = [*sorted(set(facts_of_stage.rules) - {stage.target}), stage.target]
        facts_of_stage.inputs -= facts_of_stage.outputs
        taken.update(facts_of_stage.rules)
    return by_stage


def _around(path: str, directories: Iterable[str]) -> str | None:
    """The directory that a path is in, if any."""
    return next((directory for directory in directories if Path(path).is_relative_to(directory)), None)


def folded(paths: Iterable[str], root: Path = Path()) -> set[str]:
    """Return the paths with source files replaced by folders, as SHARE says; never by the whole package, src/NAME."""
    modules = {Path(path) for path in paths if path.startswith("src/") and path.endswith(".py")}

    def fold(folder: Path) -> set[Path]:
        run = {path for path in modules if path.is_relative_to(folder)}
        known = sum(1 for _ in (root / folder).rglob("*.py"))
        if len(folder.parts) > 2 and len(run) >= max(LEAST, SHARE * known):
            return {folder}
        direct = {path for path in run if path.parent == folder}
        inner = {folder / path.relative_to(folder).parts[0] for path in run - direct}
        return direct.union(*map(fold, inner))

    return {path.as_posix() for path in fold(Path("src"))} | {path for path in paths if Path(path) not in modules}


def _workflows(snakefile: Path, targets: Iterable[str]) -> Iterator[Any]:
    """Snakemake's workflow, read once, with the jobs of one target after the other, of which none is run."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import DAGSettings, OutputSettings, Quietness, ResourceSettings

    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        public = api.workflow(ResourceSettings(cores=2), snakefile=snakefile)
        for target in targets:
            public.dag(DAGSettings(targets={target}))
            workflow = public._workflow
            workflow._prepare_dag(forceall=True, ignore_incomplete=True, lock_warn_only=True, nolock=True)
            workflow._build_dag()
            yield workflow


def expected(
    stages: Sequence[Stage], by_stage: dict[str, Facts], listed: dict[str, dict[str, list[str]]]
) -> dict[str, dict[str, Any]]:
    """Return cmd, deps and params of each stage. listed is what dvc.yaml says of them now.

    An input within an out of another stage is named by that out. What is listed and not in any rule (a file or section
    that the Snakefile itself reads) stays, unless it is source code, a directory or another stage's out.
    """
    outs = [str(out) for stage in stages for out in stage.outs]
    entries = {}
    for stage in stages:
        made, now = by_stage[stage.name], listed[stage.name]
        deps = {_around(path, outs) or path for path in made.inputs}
        deps |= {path for path in now.get("deps", []) if not path.startswith("src/") and path not in outs}
        deps -= {path for path in deps - made.inputs if path not in outs and Path(path).is_dir()}
        sections = made.sections | set(now.get("params", []))
        entries[stage.name] = {
            "cmd": f"snakemake --allowed-rules {' '.join(made.rules)} -- {stage.target}",
            "deps": sorted(folded(deps)),
            "params": sorted(name for name in sections if not any(name.startswith(f"{other}.") for other in sections)),
        }
    return entries


def refresh(path: Path = Path("dvc.yaml"), snakefile: Path = Path("Snakefile")) -> list[str]:
    """Write cmd, deps and params of all stages into dvc.yaml, keep its comments, and return the stages that changed."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 10_000
    yaml.indent(mapping=2, sequence=4, offset=2)
    content = yaml.load(path)
    stages = pipeline.stages(path)
    changed = []
    for name, values in expected(stages, facts(snakefile, stages), content["stages"]).items():
        stage = content["stages"][name]
        for key, value in values.items():
            if stage.get(key, []) != value:
                stage[key] = value
                changed.append(name)
    if changed:
        with files.replacing(path) as hidden:
            yaml.dump(content, hidden)
    return sorted(set(changed))
