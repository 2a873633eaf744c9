"""Provenance as a Workflow Run RO-Crate: what ran, when, on which hardware and inputs, and under which licences.

Built from files that the workflow writes anyway: dvc.lock (steps, hashes), Snakemake's benchmark files (time, memory),
data/packages.yaml (inputs and licences), requirements.lock. Profile: Provenance Run Crate 0.5 of Workflow Run RO-Crate.
"""

import datetime
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from rocrate.model.contextentity import ContextEntity
from rocrate.rocrate import ROCrate

from tessera.common import files
from tessera.common.files import Json
from tessera.workflow import readme
from tessera.workflow.bridge import stages as dvc_stages

PROFILES = (
    "https://w3id.org/ro/wfrun/process/0.5",
    "https://w3id.org/ro/wfrun/workflow/0.5",
    "https://w3id.org/ro/wfrun/provenance/0.5",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0",
)
SNAKEMAKE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
LICENSE = "https://spdx.org/licenses/Apache-2.0"
NAME = "ro-crate-metadata.json"
ABOUT = "Results of a run, with the steps, inputs, code, hardware and licences that they came from"


def build(root: str | Path, environment: Json) -> ROCrate:
    """Return the crate of a working copy after a run. Files are listed with their hashes, not copied.

    root holds dvc.yaml, dvc.lock, data/packages.yaml, CITATION.cff and logs/benchmarks. Stages that were never run, and
    so are not in dvc.lock, are left out. Raises FileNotFoundError if a file is missing, and ValueError if dvc.lock has
    no stage of dvc.yaml.
    """
    root = Path(root)
    lock = yaml.safe_load((root / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    cited = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    steps = [step for step in dvc_stages(root / "dvc.yaml") if step.name in lock]
    if not steps:
        raise ValueError(f"{root / 'dvc.lock'}: no stage of dvc.yaml; make run records them")
    crate = ROCrate(gen_preview=False)
    crate.name, crate.description, crate.license = cited["title"], ABOUT, LICENSE
    published = (root / "dvc.lock").stat().st_mtime
    crate.datePublished = datetime.datetime.fromtimestamp(published, datetime.UTC).isoformat(timespec="seconds")
    crate.root_dataset["conformsTo"] = [
        crate.add(ContextEntity(crate, profile, {"@type": "CreativeWork"})) for profile in PROFILES
    ]
    crate.root_dataset["author"] = [_author(crate, author) for author in cited["authors"]]
    workflow = _workflow(crate, cited)
    machine = _machine(crate, environment)
    engine = _engine(crate, environment)
    _inputs(crate, root)
    costs = _costs(root)
    actions = []
    for step in steps:
        rules = [_rule(crate, name) for name in step.rules if name in costs]
        workflow.append_to("hasPart", rules)
        for name in (name for name in step.rules if name in costs):
            action = _action(crate, name, costs[name], machine)
            action["object"] = [_file(crate, entry) for entry in lock[step.name].get("deps", [])]
            action["result"] = [_file(crate, entry) for entry in lock[step.name].get("outs", [])]
            actions.append(action)
    run = crate.add(
        ContextEntity(
            crate,
            "#run",
            {
                "@type": "CreateAction",
                "name": "The run that left these results",
                "startTime": min((action["startTime"] for action in actions), default=None),
                "endTime": max((action["endTime"] for action in actions), default=None),
            },
        )
    )
    run["instrument"] = workflow
    run["object"] = _unique(file for action in actions for file in action["object"] or [])
    run["result"] = _unique(file for action in actions for file in action["result"] or [])
    engine_run = crate.add(ContextEntity(crate, "#engine-run", {"@type": "OrganizeAction", "name": "Snakemake"}))
    engine_run["instrument"], engine_run["result"], engine_run["object"] = engine, run, actions
    crate.root_dataset["mentions"] = [run, engine_run, *actions]
    return crate


def _unique(entities: Iterable[Any]) -> list[Any]:
    return list({entity.id: entity for entity in entities}.values())


def _author(crate: ROCrate, author: Json) -> Any:
    name = author.get("name") or f"{author.get('given-names', '')} {author.get('family-names', '')}".strip()
    kind = "Organization" if "name" in author else "Person"
    return crate.add(ContextEntity(crate, f"#author-{name}".replace(" ", "-"), {"@type": kind, "name": name}))


def _workflow(crate: ROCrate, cited: Json) -> Any:
    language = crate.add(
        ContextEntity(
            crate,
            SNAKEMAKE,
            {"@type": "ComputerLanguage", "name": "Snakemake", "url": "https://snakemake.readthedocs.io"},
        )
    )
    workflow = crate.add_file(
        dest_path="Snakefile",
        properties={
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
            "name": cited["title"],
            "version": cited["version"],
            "license": LICENSE,
        },
        validate_url=False,
    )
    workflow["programmingLanguage"] = language
    crate.mainEntity = workflow
    return workflow


def _machine(crate: ROCrate, environment: Json) -> Any:
    text = (
        f"{environment['processor']}, {environment['cores']} cores, {environment['memory_gib']:g} GiB, "
        f"{environment['system']}, Python {environment['python']}"
    )
    machine = crate.add(ContextEntity(crate, "#machine", {"@type": "HardwareRequirement", "name": text}))
    lock = crate.add_file(
        dest_path="requirements.lock",
        properties={"name": "Locked packages", "sha256": environment["lock_sha256"], "encodingFormat": "text/plain"},
        validate_url=False,
    )
    machine["softwareRequirements"] = [lock] + [
        crate.add(
            ContextEntity(
                crate,
                f"https://pypi.org/project/{name}/{version}/",
                {"@type": "SoftwareApplication", "name": name, "version": version},
            )
        )
        for name, version in environment["packages"].items()
    ]
    return machine


def _engine(crate: ROCrate, environment: Json) -> Any:
    version = environment["packages"]["snakemake"]
    return crate.add(
        ContextEntity(crate, "#snakemake", {"@type": "SoftwareApplication", "name": "Snakemake", "version": version})
    )


def _inputs(crate: ROCrate, root: Path) -> None:
    """Add every downloaded package, with the licences of the package and of the part that is used."""
    for name, package in yaml.safe_load((root / "data/packages.yaml").read_text(encoding="utf-8")).items():
        crate.add_file(
            dest_path=f"data/raw/{package['file']}",
            properties={
                "name": f"{name} {package['version']}: {package['what']}",
                "url": f"https://pypi.org/project/{name}/{package['version']}/",
                "sha256": package["sha256"],
                "contentSize": str(package["bytes"]),
                "license": package["content"],
                "conditionsOfAccess": f"package: {package['license']}; what is used of it: {package['content']}",
            },
            validate_url=False,
        )


def _costs(root: Path) -> dict[str, Json]:
    """Jobs, seconds, memory and times of each rule, from Snakemake's benchmark files."""
    benchmarks = root / readme.BENCHMARKS
    costs: dict[str, Json] = {}
    for path in sorted(benchmarks.rglob("*.tsv")):
        rule = path.relative_to(benchmarks).parts[0].removesuffix(".tsv")
        table = pd.read_csv(path, sep="\t", na_values="-")
        end = path.stat().st_mtime
        cost = costs.setdefault(rule, {"jobs": 0, "seconds": 0.0, "memory": 0.0, "start": end, "end": end})
        cost["jobs"] += 1
        cost["seconds"] += float(table["s"].sum())
        cost["memory"] = max(cost["memory"], float(table["max_rss"].max()))
        cost["start"] = min(cost["start"], end - float(table["s"].sum()))
        cost["end"] = max(cost["end"], end)
    if not costs:
        raise FileNotFoundError(f"{benchmarks}: no benchmark files; a run writes them")
    return costs


def _rule(crate: ROCrate, name: str) -> Any:
    rule = crate.get(f"#rule-{name}")
    if rule is None:
        rule = crate.add(ContextEntity(crate, f"#rule-{name}", {"@type": "HowToStep", "name": name}))
    return rule


def _action(crate: ROCrate, rule: str, cost: Json, machine: Any) -> Any:
    def moment(seconds: float) -> str:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")

    memory = f"at most {cost['memory']:.0f} MiB each" if cost["memory"] == cost["memory"] else "memory not measured"
    action = crate.add(
        ContextEntity(
            crate,
            f"#jobs-{rule}",
            {
                "@type": "CreateAction",
                "name": f"{cost['jobs']} jobs of {rule}",
                "description": f"{cost['seconds']:.0f} s together, {memory}",
                "startTime": moment(cost["start"]),
                "endTime": moment(cost["end"]),
                "actionStatus": "http://schema.org/CompletedActionStatus",
            },
        )
    )
    action["instrument"] = _rule(crate, rule)
    action["resourceUsage"] = machine
    return action


def _file(crate: ROCrate, entry: Json) -> Any:
    """A file or directory of dvc.lock."""
    path, md5 = entry["path"], entry["md5"]
    if (file := crate.get(path) or crate.get(f"{path}/")) is not None:
        return file
    properties = {"name": path, "identifier": f"md5:{md5}", "contentSize": str(entry.get("size", ""))}
    if md5.endswith(".dir"):
        return crate.add_dataset(dest_path=path, properties=properties, validate_url=False)
    return crate.add_file(dest_path=path, properties=properties, validate_url=False)


def write(crate: ROCrate, path: str | Path) -> None:
    """Write the crate's metadata; its files are not copied."""
    files.write_json(path, crate.metadata.generate())


def check(path: str | Path) -> ROCrate:
    """Read a crate and return it. Raises ValueError, naming the faults, if it does not conform to its profile."""
    path = Path(path)
    crate = ROCrate(path.parent)
    faults = []
    if crate.mainEntity is None or "ComputationalWorkflow" not in crate.mainEntity.type:
        faults.append("its main entity is no ComputationalWorkflow")
    known = {entity.id for entity in crate.get_entities()}
    for entity in crate.get_entities():
        for key, value in entity.properties().items():
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, dict) and "@id" in item and item["@id"] not in known and key != "conformsTo":
                    faults.append(f"{entity.id}: {key} refers to {item['@id']}, which is not described")
        if "CreateAction" in entity.type and not entity.get("instrument"):
            faults.append(f"{entity.id}: has no instrument")
    if faults:
        raise ValueError(f"{path}: {'; '.join(faults[:5])}")
    return crate
