# Helpers of all rules: parameters by section, and the code that a stage runs.

import os
import sys

from tessera import params
from tessera.common import code as source, files

# Rules call `python`: the one that runs the workflow, also where its environment is not activated.
os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])

overlays = list(workflow.config_settings.configfiles)
try:
    PARAMS = params.check(config, [path for path in workflow.configfiles if path not in overlays] + overlays)
except ValueError as error:
    raise WorkflowError(str(error))


# Which sections each text of section() holds, for `tessera dvc`.
SECTIONS = {}


def section(*names, **others):
    """Sections of params.yaml as one canonical text, which a rule hands on as --params {params.cfg:q}.

    One name gives the section itself. Several give one object, keyed by the last part of each name; so does one with
    others, which are further values of that object. A rule has this one param, because Snakemake compares the values of
    params without their names.
    """
    text = files.to_json(params.section(PARAMS, *names, **others), indent=None)
    SECTIONS.setdefault(text, set()).update(names)
    return text


def code(stage):
    """Source files of the stage's module and all it imports: inputs of its rule, so that their content decides."""
    root = os.path.join(workflow.basedir, "src")
    return [os.path.relpath(path) for path in source.closure(f"tessera.stages.{stage}", root)]


def report_item(path, title):
    """A figure or table of the report, reports/KIND/STUDY/NAME; its caption is workflow/report/STUDY_NAME.rst."""
    kind, study, name = os.path.splitext(path)[0].split("/")[1:]
    place = {"category": study.capitalize(), "subcategory": kind.capitalize(), "labels": {"shows": title}}
    return report(path, caption=f"../report/{study}_{name}.rst", **place)
