"""Views of MLflow's pages: their tags, and what a browser makes of them."""

import base64
import json
import os
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
from trees import ROOT

from tessera import params as parameters
from tessera.common import run_files
from tessera.common.views import ONLY_CURRENT, OURS, View, bars
from tessera.puzzle.report.views import CHILDREN
from tessera.workflow import tracking, views

#: What MLflow keeps in a browser: no assistant's pane. The mode of its pages comes with the address.
STORED = {
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
    "mlflow.assistant.panelOpen_v1": "false",
}
#: Elements of an SVG that were drawn at no place.
NOT_A_NUMBER = ",".join(f"svg [{name}*=NaN]" for name in ("transform", "d", "x", "y", "width", "height"))
VIEWS = views.of_studies()


def unpack(value: str) -> dict:
    return json.loads(zlib.decompress(base64.b64decode(json.loads(value)["state"].removeprefix("deflate;"))))


@pytest.fixture(scope="module")
def records(repository: Path) -> list[run_files.RunRecord]:
    """The runs of all studies that are there."""
    return [record for path in sorted(repository.glob(run_files.RUN_FILES)) for record in run_files.read(path)]


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.key)
def test_views_show_what_runs_have(view: View, records: list[run_files.RunRecord]) -> None:
    runs = [record for record in records if record.experiment == view.experiment]
    if not runs:
        pytest.skip(f"no run of {view.experiment} is here; a run of its study, or dvc pull, brings them")
    metrics = {name for run in runs for name in [*run.metrics, *run.history]}
    curves = {name for run in runs for name in run.history}
    params = {name for run in runs for name in run.flat_params()}
    tags = {name for run in runs for name in run.tags}
    state = unpack(views.pack(view))
    for chart in state["compareRunCharts"]:
        axes = [axis["key"] for name, axis in chart.items() if name in ("xaxis", "yaxis")]
        shown = {*chart.get("selectedMetrics", ()), *chart.get("selectedMetricKeys", ()), *axes}
        assert shown | {chart.get("metricKey")} - {None} <= metrics
        assert set(chart.get("selectedParams", ())) <= params
        if chart["type"] == "LINE":
            assert set(chart["selectedMetricKeys"]) <= curves
    assert set(view.group_by) <= tags
    assert state["searchFilter"].startswith(ONLY_CURRENT)


def test_every_experiment_is_described(records: list[run_files.RunRecord]) -> None:
    described = views.experiments()
    assert {record.experiment for record in records} <= set(described)
    assert {view.experiment for view in VIEWS} <= set(described)
    assert all(text.endswith((".", "?")) for text in described.values())


def test_saved_once_and_taken_away(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"mlflow.db is not there; tessera track makes it"):
        views.save(tmp_path)
    record = run_files.RunRecord(experiment="study/step", name="one", job="study_step")
    run_files.write(tmp_path / "reports/runs/study.jsonl", [record])
    tracking.sync(tmp_path)
    view = View("study/step", "Loss by width", (bars("loss"),))
    assert view.key == "tessera-loss-by-width"
    elsewhere = replace(view, experiment="study/other")
    addresses = views.save(tmp_path, (view, elsewhere), {"study/step": "Widths.", "study/other": "Others."})
    assert list(addresses) == ["Loss by width"]
    client = tracking._client(tmp_path)
    experiment = client.get_experiment_by_name("study/step")
    assert experiment.tags[views.NOTE] == "Widths."
    page = f"/experiments/{experiment.experiment_id}/runs"
    state = "compareRunsMode=CHART&viewStateShareKey=tessera-loss-by-width&workflowType=machine_learning"
    assert addresses["Loss by width"] == f"{page}?{state}"
    client.set_experiment_tag(experiment.experiment_id, f"{views.TAG}17", "a person's view")
    views.save(tmp_path, (), {"study/step": "All widths."})
    tags = client.get_experiment_by_name("study/step").tags
    assert [tag for tag in tags if tag.startswith(views.TAG)] == [f"{views.TAG}17"]
    assert tags[views.NOTE] == "All widths."
    client.set_experiment_tag(experiment.experiment_id, views.NOTE, "a person's words")
    views.save(tmp_path, (), {"study/step": "Some widths."})
    assert client.get_experiment_by_name("study/step").tags[views.NOTE] == "a person's words"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """A tree with a database of the runs that the views show."""
    browsers.executable()
    root = tmp_path_factory.mktemp("ui")
    shown = {view.experiment for view in VIEWS}
    for path in repository.glob(run_files.RUN_FILES):
        runs = [record for record in run_files.read(path) if record.experiment in shown]
        run_files.write(root / path.relative_to(repository), runs)
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
    """Assert that the page asked nothing of other hosts, drew no NaN and reported no unknown error."""
    assert not page.outside
    assert page.evaluate(f"document.querySelectorAll({NOT_A_NUMBER!r}).length") == 0
    known = (
        "/mlflow/users/current",  # who is signed in: a server without accounts has no answer
        "ResizeObserver loop",  # the browser's note that a layout took one more frame
        "> attribute ",  # parallel coordinates are drawn once before their metrics are loaded; see NOT_A_NUMBER
    )
    assert [text for text in page.complaints if not any(words in text for words in known)] == []


@pytest.mark.slow
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.key)
def test_view_in_a_browser(view: View, tree: Path, server: str) -> None:
    """On a first visit, by the address that `tessera track` prints."""
    address = views.save(tree).get(view.name)
    if address is None:
        pytest.skip(f"no run of {view.experiment} is here")
    across = [chart for chart in view.charts if chart["type"] == "PARALLEL"]
    with browsers.open_page(1400, 850 if len(view.charts) <= view.columns else 1280, STORED) as page:
        page.goto(f"{server}/#{address}")
        traces = finished(page, len(view.charts) - len(across), len(across))
        assert all(traces) and all(length > 0 for chart in traces for length in chart)
        axes = page.evaluate("[...document.querySelectorAll('.parcoords .dimension')].length")
        assert axes == sum(len(one["selectedParams"]) + len(one["selectedMetrics"]) for one in across)
        page.shoot(view.key.removeprefix(OURS))
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
    if (known := client.get_experiment_by_name("puzzle/child")) is None:
        pytest.skip("no run of puzzle/child is here")
    experiment = known.experiment_id
    runs = client.search_runs([experiment], "tags.target = 'h100' and tags.schedule = 'equal'")
    assert len(runs) == len(parameters.load(ROOT / "params.yaml").puzzle.search.methods)
    ids = urllib.parse.quote(json.dumps([run.info.run_id for run in runs]))
    with browsers.open_page(1400, 900, STORED) as page:
        experiments = urllib.parse.quote(json.dumps([experiment]))
        page.goto(f"{server}/#/compare-runs?runs={ids}&experiments={experiments}&workflowType={views.MODE}")
        page.get_by_role("heading", name=f"Comparing {len(runs)} Runs from 1 Experiment").wait_for(timeout=60_000)
        finished(page, 1, 0)
        # The axes that the guide names, instead of the first three parameters.
        page.get_by_role("button", name="Clear All").click()
        choose(page, 0, "method")
        choose(page, 1, *CHILDREN, "assembled_in_domain_kl_div")
        finished(page, 1, 0)
        labels = page.evaluate("document.querySelector('.js-plotly-plot').data[0].dimensions.map(one => one.label)")
        assert labels == ["method", *CHILDREN, "assembled_in_domain_kl_div"]
        values = page.evaluate("document.querySelector('.js-plotly-plot').data[0].dimensions.map(one => one.values)")
        assert sorted(values[1]) == sorted(run.data.metrics["blocks_speedup"] for run in runs)
        page.shoot("compare-children")
        clean(page)
