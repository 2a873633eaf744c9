"""The views of all studies, saved into MLflow's database, so that they are ready under the button Views in a clone too.

MLflow keeps a view as a tag of its experiment that holds the state of the page, its filter, groups and charts, as
compressed JSON.
"""

import base64
import importlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path

from tessera.common.views import OURS, View
from tessera.workflow import tracking

#: Experiment tags that MLflow shows as views.
TAG = "mlflow.sharedViewState."
PACKAGE = Path(__file__).parents[1]


def of_studies() -> tuple[View, ...]:
    """Return the VIEWS of every module report/views.py."""
    places = (path.relative_to(PACKAGE.parent).with_suffix("").parts for path in PACKAGE.rglob("report/views.py"))
    return tuple(view for place in sorted(places) for view in importlib.import_module(".".join(place)).VIEWS)


def pack(view: View) -> str:
    """The value of a view's tag: same view, same text."""
    state = zlib.compress(json.dumps(view.state(), sort_keys=True).encode(), 9)
    content = {"name": view.name, "createdAt": 0, "updatedAt": 0}
    return json.dumps(content | {"state": f"deflate;{base64.b64encode(state).decode()}"}, sort_keys=True)


def save(root: str | Path = ".", views: tuple[View, ...] | None = None) -> Mapping[str, str]:
    """Write the views into root's database, and take away those that are no more.

    Returns the part of the address after # by the view's name; views of experiments that are not there are left out.
    Raises FileNotFoundError where there is no database: tracking.sync makes it.
    """
    from mlflow import MlflowClient

    views = of_studies() if views is None else views

    database = Path(root, tracking.DATABASE)
    if not database.is_file():
        raise FileNotFoundError(f"{database} is not there; tessera track makes it")
    client = MlflowClient(f"sqlite:///{database.resolve()}")
    addresses = {}
    for experiment in client.search_experiments():
        wanted = {TAG + view.key: view for view in views if view.experiment == experiment.name}
        for tag in set(experiment.tags) - set(wanted):
            if tag.startswith(TAG + OURS):
                client.delete_experiment_tag(experiment.experiment_id, tag)
        for tag, view in wanted.items():
            value = pack(view)
            if experiment.tags.get(tag) != value:
                client.set_experiment_tag(experiment.experiment_id, tag, value)
            page = f"/experiments/{experiment.experiment_id}/runs"
            addresses[view.name] = f"{page}?compareRunsMode=CHART&viewStateShareKey={view.key}"
    return addresses
