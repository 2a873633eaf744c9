"""What the stages of dvc.yaml must say, read from Snakemake's rules, so that nobody lists source files by hand.

A stage's outs, metrics and plots are written by hand. Its rules follow from its target: those that make the target's
files, but for the rules of stages before it. Its deps are what these rules read and do not make themselves, source
files among it; its params are the sections that they are given. Of the Snakefile's global DIRECTORIES, which rules read
whole, the directory is the dep and not each file, so that DVC notices new files as well.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tessera.common import files
from tessera.workflow import bridge
from tessera.workflow.bridge import Stage


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
    found: dict[str, Facts] = {}
    taken: set[str] = set()
    for stage in stages:
        one = found[stage.name] = Facts()
        with _dag(snakefile, stage.target) as workflow:
            sections = workflow.globals.get("SECTIONS", {})
            whole = workflow.globals.get("DIRECTORIES", ())
            for job in workflow.dag.jobs:
                if job.rule.name in taken or not job.output:
                    continue
                if job.rule.name not in one.rules:
                    one.rules.append(job.rule.name)
                one.inputs.update(_around(path, whole) or path for path in map(str, job.input))
                one.outputs.update(map(str, job.output))
                one.temporary.update(str(path) for path in job.output if path.flags.get("temp"))
                one.sections |= sections.get(getattr(job.params, "cfg", None), set())
        one.rules = [*sorted(one.rules), stage.target]
        one.inputs -= one.outputs
        taken.update(one.rules)
    return found


def _around(path: str, directories: Iterable[str]) -> str | None:
    """The one of some directories that a path is in."""
    return next((directory for directory in directories if Path(path).is_relative_to(directory)), None)


@contextmanager
def _dag(snakefile: Path, target: str) -> Iterator[Any]:
    """Snakemake's workflow with the jobs of the target, of which none is run."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import DAGSettings, OutputSettings, Quietness, ResourceSettings

    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        made = api.workflow(ResourceSettings(cores=2), snakefile=snakefile)
        made.dag(DAGSettings(targets={target}))
        workflow = made._workflow
        workflow._prepare_dag(forceall=True, ignore_incomplete=True, lock_warn_only=True, nolock=True)
        workflow._build_dag()
        yield workflow


def expected(
    stages: Sequence[Stage], found: dict[str, Facts], listed: dict[str, dict[str, list[str]]]
) -> dict[str, dict[str, Any]]:
    """Return cmd, deps and params of each stage. listed is what dvc.yaml has of them now.

    An input within an out of another stage is named by that out. What is listed and no rule tells of (a file or section
    that the Snakefile itself reads) stays, unless it is source code, a directory or another stage's out.
    """
    outs = [str(out) for stage in stages for out in stage.outs]
    wanted = {}
    for stage in stages:
        one, now = found[stage.name], listed[stage.name]
        deps = {_around(path, outs) or path for path in one.inputs}
        deps |= {path for path in now.get("deps", []) if not path.startswith("src/") and path not in outs}
        deps -= {path for path in deps - one.inputs if path not in outs and Path(path).is_dir()}
        sections = one.sections | set(now.get("params", []))
        wanted[stage.name] = {
            "cmd": f"snakemake --allowed-rules {' '.join(one.rules)} -- {stage.target}",
            "deps": sorted(deps),
            "params": sorted(name for name in sections if not any(name.startswith(f"{other}.") for other in sections)),
        }
    return wanted


def refresh(path: Path = Path("dvc.yaml"), snakefile: Path = Path("Snakefile")) -> list[str]:
    """Write cmd, deps and params of all stages into dvc.yaml, keep its comments, and return the stages that changed."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 10_000
    yaml.indent(mapping=2, sequence=4, offset=2)
    content = yaml.load(path)
    stages = bridge.stages(path)
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
