"""The views and experiments of all studies, described in MLflow's database, so that a clone has them as well.

MLflow keeps a view as a tag of its experiment that holds the state of the page, its filter, groups and charts, as
compressed JSON.
"""

from __future__ import annotations

import base64
import importlib
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from tessera.common import code
from tessera.common.views import OURS, View
from tessera.workflow import tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

#: Experiment tags that MLflow shows as views.
TAG = "mlflow.sharedViewState."
#: The experiment tag that MLflow shows as its description, and a copy of what was written there: what a person changes
#: is left alone.
NOTE, WRITTEN = "mlflow.note.content", "tessera.description"
#: MLflow's pages differ by the mode of its sidebar, which is `genai` unless the browser or the address says otherwise.
MODE = "machine_learning"


def _modules() -> Iterator[ModuleType]:
    """Every module report/views.py."""
    for path in sorted(code.PACKAGE.rglob("report/views.py")):
        yield importlib.import_module(code.module(path))


def of_studies() -> tuple[View, ...]:
    """Return the VIEWS of every study."""
    return tuple(view for module in _modules() for view in module.VIEWS)


def experiments() -> dict[str, str]:
    """Return the EXPERIMENTS of every study: what each is, by name."""
    return {name: text for module in _modules() for name, text in module.EXPERIMENTS.items()}


def pack(view: View) -> str:
    """The value of a view's tag: same view, same text."""
    state = zlib.compress(json.dumps(view.state(), sort_keys=True).encode(), 9)
    content = {"name": view.name, "createdAt": 0, "updatedAt": 0}
    return json.dumps(content | {"state": f"deflate;{base64.b64encode(state).decode()}"}, sort_keys=True)


def save(
    root: str | Path = ".", views: tuple[View, ...] | None = None, descriptions: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Write the views, and the descriptions of experiments, into root's database; remove views that are gone.

    Returns the part of the address after # by the view's name; views of experiments that are not there are left out.
    Raises FileNotFoundError if there is no database: tracking.sync makes it.
    """
    from mlflow import MlflowClient

    views = of_studies() if views is None else views
    descriptions = experiments() if descriptions is None else descriptions
    database = Path(root, tracking.DATABASE)
    if not database.is_file():
        raise FileNotFoundError(f"{database} is not there; tessera track makes it")
    client = MlflowClient(f"sqlite:///{database.resolve()}")
    addresses = {}
    for experiment in client.search_experiments():
        _describe(client, experiment, descriptions.get(experiment.name, ""))
        tags = {TAG + view.key: view for view in views if view.experiment == experiment.name}
        for tag in set(experiment.tags) - set(tags):
            if tag.startswith(TAG + OURS):
                client.delete_experiment_tag(experiment.experiment_id, tag)
        for tag, view in tags.items():
            value = pack(view)
            if experiment.tags.get(tag) != value:
                client.set_experiment_tag(experiment.experiment_id, tag, value)
            page = f"/experiments/{experiment.experiment_id}/runs"
            addresses[view.name] = f"{page}?compareRunsMode=CHART&viewStateShareKey={view.key}&workflowType={MODE}"
    return addresses


def _describe(client: MlflowClient, experiment: Experiment, text: str) -> None:
    """Write an experiment's description, unless a person has written another."""
    if text and experiment.tags.get(NOTE) == experiment.tags.get(WRITTEN) != text:
        client.set_experiment_tag(experiment.experiment_id, NOTE, text)
        client.set_experiment_tag(experiment.experiment_id, WRITTEN, text)
