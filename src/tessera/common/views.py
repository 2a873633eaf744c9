"""Views of MLflow's pages: what is worth comparing in each experiment. Studies declare them in report/views.py.

The form is that of the pinned MLflow; the test that opens the pages in a browser fails if another version differs.
"""

from dataclasses import dataclass

from tessera.common import run_files
from tessera.common.files import Json

#: Views are ours alone under these names; those that people save are left as they are.
OURS = "tessera-"
#: Runs of files that are gone, or say something else by now, are not compared with others.
ONLY_CURRENT = f"tags.{run_files.IMPORT_TAGS[1]} = 'true'"


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
