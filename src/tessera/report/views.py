"""Views of MLflow's pages: what is worth comparing in each experiment, ready under its button Views.

MLflow keeps a view as a tag of its experiment that holds the state of the page, its filter, groups and charts, as
compressed JSON. Here views are written as `tessera track` fills the database, so that a clone has them too. The form is
that of the pinned MLflow; the test that opens the pages in a browser tells when another version wants another.
"""

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tessera.common import tracking

#: Experiment tags that MLflow shows as views.
TAG = "mlflow.sharedViewState."
#: Views are ours alone under these names; those that people save are left as they are.
OURS = "tessera-"
#: Runs of files that are gone, or say something else by now, are not compared with others.
ONLY_CURRENT = f"tags.{tracking.CURRENT} = 'true'"
Json = dict[str, Any]


def parallel(params: tuple[str, ...], metrics: tuple[str, ...]) -> Json:
    """A line a run, across an axis for each parameter and each metric."""
    title = " · ".join([*params, *metrics])
    return {
        "type": "PARALLEL",
        "displayName": title,
        "selectedParams": params,
        "selectedMetrics": metrics,
        "showAllRuns": False,
    }


def curves(title: str, *metrics: str, log: bool = False) -> Json:
    """Metrics against their step, a curve for each run (or group of runs) and metric."""
    return {
        "type": "LINE",
        "displayName": title,
        "metricKey": metrics[0],
        "selectedMetricKeys": metrics,
        "lineSmoothness": 0,
        "xAxisKey": "step",
        "xAxisScaleType": "linear",
        "selectedXAxisMetricKey": "",
        "scaleType": "log" if log else "linear",
        "range": {},
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "ignoreOutliers": False,
        "useGlobalXaxisKey": False,
        "useGlobalLineSmoothing": False,
    }


def scatter(x: str, y: str) -> Json:
    """A point a run: one metric against another."""
    axes = {name: {"key": key, "type": "METRIC"} for name, key in (("xaxis", x), ("yaxis", y))}
    return {"type": "SCATTER", "displayName": f"{y} against {x}", **axes}


def bars(metric: str) -> Json:
    """A bar a run, or group of runs."""
    return {"type": "BAR", "displayName": metric, "metricKey": metric}


@dataclass(frozen=True)
class View:
    """What one looks at together in an experiment."""

    experiment: str
    name: str
    charts: tuple[Json, ...]
    only: str = ""
    """Which runs: a filter as in MLflow's search box, beside that for current runs."""
    group_by: tuple[str, ...] = ()
    """Tags whose equal values make a group; its curve is the mean of its runs."""
    columns: int = 2
    """Charts beside one another."""

    @property
    def key(self) -> str:
        """What the page's address calls it: #/experiments/ID/runs?viewStateShareKey=KEY."""
        return OURS + "-".join("".join(c if c.isalnum() else " " for c in self.name.lower()).split())

    def state(self) -> Json:
        """The page as MLflow describes it. Charts that MLflow adds for all metrics are folded away."""
        section = f"{self.key}-charts"
        charts = [
            {
                "uuid": f"{self.key}-{number}",
                "runsCountToCompare": 200,
                "metricSectionId": section,
                "deleted": False,
                "isGenerated": False,
                **chart,
            }
            for number, chart in enumerate(self.charts)
        ]
        ours = {"columns": self.columns, "cardHeight": 420, "display": True, "isReordered": True, "deleted": False}
        sections = [{"uuid": section, "name": self.name} | ours]
        sections += [
            {"uuid": f"{self.key}-{name}", "name": name, "display": False, "isReordered": False, "deleted": False}
            for name in ("Model metrics", "System metrics")
        ]
        keys = [{"mode": "tag", "groupByData": tag} for tag in self.group_by]
        return {
            "searchFilter": " and ".join(filter(None, (ONLY_CURRENT, self.only))),
            "orderByKey": "attributes.start_time",
            "orderByAsc": True,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "datasetsFilter": [],
            "modelVersionFilter": "All Runs",
            "selectedColumns": [],
            "columnOrder": [],
            "columnWidths": {},
            "runsHiddenMode": "SHOW_ALL",
            "compareRunsMode": "CHART",
            "compareRunCharts": charts,
            "compareRunSections": sections,
            "viewMaximized": False,
            "runListHidden": False,
            "isAccordionReordered": True,
            "useGroupedValuesInCharts": True,
            "hideEmptyCharts": True,
            "groupBy": {"aggregateFunction": "average", "groupByKeys": keys} if keys else None,
            "groupsExpanded": {},
            "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
        }


#: What a child gains, in the runs of Puzzle.
CHILDREN = ("blocks_speedup", "blocks_memory_mib")
VIEWS = (
    View(
        "puzzle/frontier",
        "Children by budget",
        (
            parallel(("method", "speedup"), (*CHILDREN, "predicted_kl")),
            scatter("blocks_speedup", "predicted_kl"),
        ),
        only="tags.target = 'h100' and params.method != 'random'",
    ),
    View(
        "puzzle/child",
        "Children by throughput, memory and KL",
        (
            parallel(("target", "method"), (*CHILDREN, "assembled_in_domain_kl_div", "equal_in_domain_kl_div")),
            scatter("blocks_speedup", "equal_in_domain_kl_div"),
            curves("KL while healing", "healing/kl_div", log=True),
        ),
        only="params.method != 'random'",
    ),
    View(
        "puzzle/library",
        "Distillation by variant",
        (
            curves("attention: loss, mean over layers", "kv1/loss", "linear/loss", log=True),
            curves("FFN: loss, mean over layers", "ffn75/loss", "ffn50/loss", "ffn25/loss", log=True),
        ),
        group_by=("subblock",),
    ),
    View(
        "tempotron/findable",
        "Learning rule by size of the task",
        (
            curves("solved share against 100 x load", "solved_by_load_percent"),
            parallel(("k", "n"), ("findable", "median_epochs_solved")),
        ),
    ),
    View(
        "balanced/learning",
        "Learning by noise",
        (
            curves("imbalance", "imbalance"),
            curves("output margin", "kappa_out"),
            scatter("imbalance.mean", "kappa_out.mean"),
        ),
        group_by=("noise",),
    ),
    View(
        "tsvm/noise",
        "Critical noise by method",
        (
            parallel(("method",), ("critical_synaptic", "critical_membrane", "critical_jitter")),
            scatter("critical_synaptic", "critical_jitter"),
        ),
    ),
    View(
        "bayesopt/benchmark",
        "Branin by sampler",
        (curves("regret, mean over seeds", "regret", log=True), bars("edge_enrichment")),
        only="tags.function = 'branin'",
        group_by=("sampler", "schedule"),
    ),
)


def pack(view: View) -> str:
    """The value of a view's tag: same view, same text."""
    state = zlib.compress(json.dumps(view.state(), sort_keys=True).encode(), 9)
    content = {"name": view.name, "createdAt": 0, "updatedAt": 0}
    return json.dumps(content | {"state": f"deflate;{base64.b64encode(state).decode()}"}, sort_keys=True)


def save(root: str | Path = ".", views: tuple[View, ...] = VIEWS) -> Mapping[str, str]:
    """Write the views into root's database, and take away those that are no more.

    Returns the part of the address after # by the view's name; views of experiments that are not there are left out.
    Raises FileNotFoundError where there is no database: tracking.sync makes it.
    """
    from mlflow import MlflowClient

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
