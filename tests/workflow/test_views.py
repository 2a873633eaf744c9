"""Views of MLflow's pages: their tags, and what a browser makes of them."""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import browsers
import pytest

from tessera.common import run_files
from tessera.workflow import tracking, views

#: What MLflow keeps in a browser: no assistant's pane, and the pages of model training.
STORED = {
    "mlflow.workflowType_v1": '"machine_learning"',
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
    "mlflow.assistant.panelOpen_v1": "false",
}
#: Run files that the pages are tried with: those of the views, less most of the seeds.
TRIED = (
    "puzzle/puzzle_child/*",
    "puzzle/puzzle_frontier/*",
    "puzzle/puzzle_library/layer=*[05]-*",
    "tempotron/tempotron_findable/*",
    "balanced/balanced_learning/*",
    "tsvm/tsvm_noise/*",
    "bayesopt/bayesopt_benchmark/function=branin-*seed=[01]-*",
)


def unpack(value: str) -> dict:
    return json.loads(zlib.decompress(base64.b64decode(json.loads(value)["state"].removeprefix("deflate;"))))


@pytest.mark.parametrize("view", views.VIEWS, ids=lambda view: view.key)
def test_views_show_what_runs_have(view: views.View, repository: Path) -> None:
    files = [path for path in repository.glob(run_files.RUN_FILES) if f'"{view.experiment}"' in path.read_text()]
    records = [run_files.read(path) for path in files]
    assert records, f"no run of {view.experiment}"
    metrics = {name for one in records for name in [*one.metrics, *one.history]}
    curves = {name for one in records for name in one.history}
    params = {name for one in records for name in one.flat_params()}
    tags = {name for one in records for name in one.tags}
    state = unpack(views.pack(view))
    for chart in state["compareRunCharts"]:
        axes = [axis["key"] for name, axis in chart.items() if name in ("xaxis", "yaxis")]
        shown = {*chart.get("selectedMetrics", ()), *chart.get("selectedMetricKeys", ()), *axes}
        assert shown | {chart.get("metricKey")} - {None} <= metrics
        assert set(chart.get("selectedParams", ())) <= params
        if chart["type"] == "LINE":
            assert set(chart["selectedMetricKeys"]) <= curves
    assert set(view.group_by) <= tags
    assert state["searchFilter"].startswith(views.ONLY_CURRENT)


def test_saved_once_and_taken_away(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"mlflow.db is not there; tessera track makes it"):
        views.save(tmp_path)
    tracking.RunRecord(experiment="study/step", name="one").write(tmp_path / "reports/metrics/study/step/one.json")
    tracking.sync(tmp_path)
    one = views.View("study/step", "Loss by width", (views.bars("loss"),))
    assert one.key == "tessera-loss-by-width"
    elsewhere = replace(one, experiment="study/other")
    addresses = views.save(tmp_path, (one, elsewhere))
    assert list(addresses) == ["Loss by width"]
    client = tracking._client(tmp_path)
    experiment = client.get_experiment_by_name("study/step")
    assert addresses["Loss by width"] == (
        f"/experiments/{experiment.experiment_id}/runs?compareRunsMode=CHART&viewStateShareKey=tessera-loss-by-width"
    )
    client.set_experiment_tag(experiment.experiment_id, f"{views.TAG}17", "a person's own")
    views.save(tmp_path, ())
    kept = [tag for tag in client.get_experiment_by_name("study/step").tags if tag.startswith(views.TAG)]
    assert kept == [f"{views.TAG}17"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """A tree with a database of the committed runs."""
    browsers.executable()
    root = tmp_path_factory.mktemp("ui")
    for pattern in TRIED:
        for path in repository.glob(f"reports/metrics/{pattern}.json"):
            copy = root / path.relative_to(repository)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    tracking.sync(root)
    return root


@pytest.fixture(scope="module")
def server(tree: Path) -> Iterator[str]:
    """MLflow's pages, served as `make ui` does; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["ui", "--backend-store-uri", f"sqlite:///{tracking.DATABASE}", "--host", "127.0.0.1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", *words, "--port", str(port), "--workers", "1"],
        cwd=tree,
        env=os.environ
        | {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        },
        stdout=(tree / "server.log").open("w"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            assert process.poll() is None, (tree / "server.log").read_text()
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5).read()
                break
            except (urllib.error.URLError, TimeoutError):
                time.sleep(0.5)
        else:
            pytest.fail(f"no answer in two minutes: {(tree / 'server.log').read_text()}")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def finished(page: browsers.Page, charts: int, parallel: int) -> list[list[int]]:
    """Wait until so many charts are drawn; the lengths of the curves of each."""
    page.wait_for_function(
        """([charts, parallel]) => {
            const having = (kind, part) => [...document.querySelectorAll(kind)].filter(one => one.querySelector(part));
            const drawn = having('.js-plotly-plot', '.main-svg');
            const across = having('.parcoords', '.dimension');
            return drawn.length === charts && across.length === parallel;
        }""",
        arg=[charts, parallel],
        timeout=60_000,
    )
    page.wait_for_timeout(1000)  # curves grow into place
    return page.evaluate(
        """() => [...document.querySelectorAll('.js-plotly-plot')].map(
            one => one.data.map(trace => (trace.x || (trace.dimensions || [{}])[0].values || []).length))"""
    )


def clean(page: browsers.Page) -> None:
    """Assert that the page wanted nothing from outside and complained of nothing but what is known."""
    assert not page.outside
    known = (
        "/mlflow/users/current",  # who is signed in: a server without accounts has no answer
        "ResizeObserver loop",  # the browser's note that a layout took one more frame
    )
    assert [text for text in page.complaints if not any(words in text for words in known)] == []


@pytest.mark.slow
@pytest.mark.parametrize("view", views.VIEWS, ids=lambda view: view.key)
def test_view_in_a_browser(view: views.View, tree: Path, server: str) -> None:
    address = views.save(tree)[view.name]
    across = [chart for chart in view.charts if chart["type"] == "PARALLEL"]
    with browsers.open_page(1400, 800 if len(view.charts) <= view.columns else 1230, STORED) as page:
        page.goto(f"{server}/#{address}")
        traces = finished(page, len(view.charts) - len(across), len(across))
        assert all(traces) and all(length > 0 for chart in traces for length in chart)
        axes = page.evaluate("[...document.querySelectorAll('.parcoords .dimension')].length")
        assert axes == sum(len(one["selectedParams"]) + len(one["selectedMetrics"]) for one in across)
        page.shoot(view.key.removeprefix(views.OURS))
        clean(page)


def choose(page: browsers.Page, box: int, *names: str) -> None:
    """Pick options of a list that is only drawn as far as it is scrolled: by the keyboard."""
    page.get_by_role("combobox").nth(box).click()
    active = page.locator("[class*=select-item-option-active]:visible")
    for name in names:
        for _ in range(200):
            if active.inner_text() == name:
                break
            page.keyboard.press("ArrowDown")
        else:
            pytest.fail(f"the list has no {name}")
        page.keyboard.press("Enter")
    page.keyboard.press("Escape")


@pytest.mark.slow
def test_compare_children(tree: Path, server: str) -> None:
    client = tracking._client(tree)
    experiment = client.get_experiment_by_name("puzzle/child").experiment_id
    runs = client.search_runs([experiment], "tags.target = 'h100' and tags.schedule = 'equal'")
    assert len(runs) == 5
    ids = urllib.parse.quote(json.dumps([run.info.run_id for run in runs]))
    with browsers.open_page(1400, 900, STORED) as page:
        page.goto(f"{server}/#/compare-runs?runs={ids}&experiments={urllib.parse.quote(json.dumps([experiment]))}")
        page.get_by_role("heading", name="Comparing 5 Runs from 1 Experiment").wait_for(timeout=60_000)
        finished(page, 1, 0)
        # The axes that the guide names, instead of the first three parameters.
        page.get_by_role("button", name="Clear All").click()
        choose(page, 0, "method")
        choose(page, 1, *views.CHILDREN, "assembled_in_domain_kl_div")
        finished(page, 1, 0)
        labels = page.evaluate("document.querySelector('.js-plotly-plot').data[0].dimensions.map(one => one.label)")
        assert labels == ["method", *views.CHILDREN, "assembled_in_domain_kl_div"]
        values = page.evaluate("document.querySelector('.js-plotly-plot').data[0].dimensions.map(one => one.values)")
        assert sorted(values[1]) == sorted(run.data.metrics["blocks_speedup"] for run in runs)
        page.shoot("compare-children")
        clean(page)
