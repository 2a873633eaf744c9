"""Derive the stages of dvc.yaml from Snakemake's rules, so that nobody has to list source files by hand.

A stage's outs, metrics and plots are written by hand. Its rules follow from its target: all that are needed to build
the target's files, except the rules of earlier stages. Its deps are the files that these rules read and do not write,
including source files; its params are the sections passed to them. For the Snakefile's global DIRECTORIES, which rules
read as a whole, the dep is the directory rather than its files, so that DVC also notices new files. For source code,
the dep is a folder if the stage runs most of it; Snakemake's inputs remain the exact files.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tessera.common import code, files
from tessera.workflow import pipeline
from tessera.workflow.pipeline import Stage

#: A folder of source code replaces its files if a stage runs at least LEAST of its modules, including those in
#: subfolders, and at least this SHARE of them. DVC considers a stage changed if any file in the folder changes: with a
#: larger share, dvc.yaml would list hundreds of files; with a smaller share, or one folder per study, editing a figure
#: or a README would force DVC to recompute a study's results.
SHARE, LEAST = 2 / 3, 3


@dataclass
class Facts:
    """What the rules imply for one stage; paths are relative to the working directory."""

    rules: list[str] = field(default_factory=list)
    inputs: set[str] = field(default_factory=set)
    outputs: set[str] = field(default_factory=set)
    temporary: set[str] = field(default_factory=set)
    sections: set[str] = field(default_factory=set)


def facts(snakefile: Path, stages: Sequence[Stage]) -> dict[str, Facts]:
    """Return the facts of each stage; stages are in the order of dvc.yaml, each after those that it depends on."""
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
    """Return the directory that contains a path, if any."""
    return next((directory for directory in directories if Path(path).is_relative_to(directory)), None)


def _in_dvc(path: str) -> bool:
    """Whether `dvc add` tracks a path or a folder that contains it, so that it may be missing until `dvc pull`."""
    return any(Path(f"{place}.dvc").is_file() for place in (Path(path), *Path(path).parents))


def folded(paths: Iterable[str], root: Path = Path()) -> set[str]:
    """Replace source files by folders, by the rule at SHARE, but never by the whole package, src/NAME."""
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
    """Yield Snakemake's workflow, parsed once, with the planned jobs of each target in turn. No job is run."""
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
    """Return cmd, deps and params of each stage. `listed` is the current content of dvc.yaml.

    An input inside another stage's out is listed as that out. Entries that no rule names (a file or section that the
    Snakefile itself reads) are kept, unless they are source code, a directory, another stage's out or a deleted file.
    """
    outs = [str(out) for stage in stages for out in stage.outs]
    entries = {}
    for stage in stages:
        derived, current = by_stage[stage.name], listed[stage.name]
        deps = {_around(path, outs) or path for path in derived.inputs}
        listed_only = {path for path in current.get("deps", []) if not path.startswith("src/")} - deps - {*outs}
        deps |= {path for path in listed_only if Path(path).is_file() or (not Path(path).exists() and _in_dvc(path))}
        sections = derived.sections | set(current.get("params", []))
        entries[stage.name] = {
            "cmd": f"snakemake --allowed-rules {' '.join(derived.rules)} -- {stage.target}",
            "deps": sorted(folded(deps)),
            "params": sorted(name for name in sections if not any(name.startswith(f"{other}.") for other in sections)),
        }
    return entries


def studies_without_stages(path: Path = Path("dvc.yaml")) -> list[str]:
    """Names of the studies none of whose targets is a stage of dvc.yaml."""
    targets = [stage.target for stage in pipeline.stages(path)]
    return sorted(name for name in code.studies() if not any(target.startswith(name) for target in targets))


def refresh(path: Path = Path("dvc.yaml"), snakefile: Path = Path("Snakefile")) -> list[str]:
    """Update cmd, deps and params of all stages in dvc.yaml, keeping comments; return the names of changed stages."""
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
