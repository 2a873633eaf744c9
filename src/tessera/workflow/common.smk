# Helpers of all rules: parameters by section, the code and command line of a stage, and what its report publishes.

import os
import sys
from pathlib import Path

from tessera import params
from tessera.common import code as source, files
from tessera.workflow import commands
from tessera.workflow.commands import stage

# Rules call `python`: the one that runs the workflow, even if its environment is not activated.
os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])

overlays = list(workflow.config_settings.configfiles)
try:
    PARAMS = params.check(config, [path for path in workflow.configfiles if path not in overlays] + overlays)
except ValueError as error:
    raise WorkflowError(str(error))


# Which sections each text of section() holds, for `tessera dvc`.
SECTIONS = {}

# The shell command of every rule: its stage, with the parameters and arguments that section() and stage() make.
STAGE = "python -m {params.stage} --params {params.cfg:q} 2>&1 | tee {log}"
# The same for a stage without parameters.
BARE_STAGE = "python -m {params.stage} 2>&1 | tee {log}"


def canonical(sections, **others):
    """Values by key, and sections of params.yaml by key, as one canonical text."""
    text = files.to_json({key: params.section(PARAMS, name) for key, name in sections.items()} | others, indent=None)
    SECTIONS.setdefault(text, set()).update(sections.values())
    return text


def section(*names, **others):
    """Sections of params.yaml as one canonical text, which a rule passes on as --params {params.cfg:q}.

    One name gives the section itself. Several give one object, keyed by the last part of each name; so does one with
    others, which are further values of that object. A rule has this one param, because Snakemake compares the values of
    params without their names.
    """
    text = files.to_json(params.section(PARAMS, *names, **others), indent=None)
    SECTIONS.setdefault(text, set()).update(names)
    return text


def code(stage):
    """Source files of the stage's module and all it imports: inputs of its rule, so that their content decides."""
    return files_of(source.stage(stage))


def files_of(module):
    """Source files of a module and all it imports."""
    return [os.path.relpath(path) for path in source.closure(module)]


def report_item(path, study, title):
    """A figure, table or text of a study's report. Its caption is the docstring of its code: see workflow/captions.py."""
    folder = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).relative_to(PACKAGE)
    name, kind = os.path.basename(path), os.path.splitext(path)[1]
    place = {
        "category": study.capitalize(),
        "subcategory": "Figures" if kind == ".svg" else "Tables",
        "labels": {"shows": title},
    }
    caption = os.path.join("build/captions", source.study(source.PACKAGE / folder), f"{name}.rst")
    return report(path, caption=os.path.abspath(caption), **place)


def published(study, **items):
    """Outputs of a study's report stage, by the arguments of its main: see commands.outputs for the items."""
    paths = {
        kind: [report_item(path, study, title) for path, title in titles.items()]
        for kind, titles in commands.outputs(study, **items).items()
        if titles
    }
    return paths | {"metrics": f"reports/metrics/{study}.json", "runs": f"reports/runs/{study}.jsonl"}
