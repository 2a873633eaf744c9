"""The report, opened in a browser as a reader opens it: from disk, without a network."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import browsers
import pytest
from trees import ROOT, isolated

from tessera.common import files
from tessera.workflow import captions, claims, environment, front

#: Headings of the first page, and the figure under each.
STUDIES = {
    "Puzzle": "puzzle/frontier",
    "Tempotron": "tempotron/capacity",
    "Balanced networks": "balanced/capacity",
    "Parallel Bayesian optimisation": "bayesopt/regret",
    "Temporal support vectors": "tsvm/voltage",
}
#: A benchmark file of Snakemake's, as far as the page reads it.
BENCHMARK = "s\tmax_rss\n90.0\t512.0\n"

BLANK = '<svg xmlns="http://www.w3.org/2000/svg" width="200" height="100"/>'


def snakemake(tree: Path, *arguments: str) -> str:
    where = ["--directory", str(tree), "--configfile", str(ROOT / "params.yaml")]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *where, *arguments, "--", "all", "claims", "front"],
        cwd=ROOT,
        env=isolated(tree),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the committed figures and tables, made without a run: figures that are not in git are blank, and
    other files empty."""
    browsers.executable()
    tree = tmp_path_factory.mktemp("report")
    shutil.copytree(ROOT / "reports", tree / "reports", ignore=shutil.ignore_patterns("report.html"))
    benchmark = tree / "logs/benchmarks/one.tsv"
    benchmark.parent.mkdir(parents=True)
    benchmark.write_text(BENCHMARK)
    verdicts = claims.verify(tree)
    files.write_text(tree / "build/report/claims.html", front.claims(verdicts))
    files.write_text(tree / "reports/tables/claims.md", claims.table(verdicts))
    machine = environment.describe(ROOT / "requirements.lock")
    files.write_text(tree / "build/report/hardware.html", front.hardware(machine, tree / "logs/benchmarks"))
    captions.write(tree / "build/captions")
    for line in snakemake(tree, "--summary").splitlines()[1:]:
        path = tree / line.split("\t")[0]
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".svg":
            path.write_text(BLANK)
        elif path.suffix:
            path.touch()
        else:
            path.mkdir()
    snakemake(tree, "--report", str(tree / "report.html"))
    return tree / "report.html"


@pytest.fixture
def page(report: Path) -> Iterator[browsers.Page]:
    """The report's page; what it complained of is asserted at the end."""
    with browsers.open_page(1500, 1000) as page:
        page.goto(report.as_uri())
        page.locator("#claims table, table#claims").first.wait_for()
        yield page
        assert not page.outside
        assert page.complaints == []


@pytest.mark.slow
def test_first_page(page: browsers.Page) -> None:
    for study in STUDIES:
        assert page.get_by_role("heading", name=study, exact=True).is_visible()
    pictures = page.locator(".prose svg")
    assert pictures.count() == len(STUDIES)
    for picture in pictures.all():
        picture.scroll_into_view_if_needed()
        box = picture.bounding_box()
        assert box is not None and box["width"] > 300 and box["height"] > 100
    listed = [row.inner_text().split("\t") for row in page.locator("table#claims tr").all()[1:]]
    known = claims.read(ROOT / claims.CLAIMS)
    assert len(listed) == sum(len(one) for one in known.values())
    assert {row[0] for row in listed} == set(known)
    assert {row[-1] for row in listed} <= set(front.SIGNS.values())
    assert environment.describe()["processor"] in page.locator("table#hardware").inner_text()
    page.evaluate("document.querySelector('.prose').closest('.overflow-auto').scrollTo(0, 0)")
    start, menu = page.get_by_text("Five papers, one workflow").bounding_box(), page.locator("nav").first.bounding_box()
    assert start is not None and menu is not None
    assert start["y"] >= 0 and start["x"] >= menu["x"] + menu["width"], "the page begins where nobody can scroll to"
    page.shoot("report")


@pytest.mark.slow
def test_every_figure_is_visible_and_has_a_caption(page: browsers.Page) -> None:
    shown = page.evaluate("Object.entries(results).map(([path, one]) => [path, one.mime_type])")
    figures = [path for path, kind in shown if kind.startswith("image/")]
    firsts = {f"reports/figures/{study}.svg" for study in STUDIES.values()}
    assert firsts <= set(figures) and all((ROOT / path).is_file() for path in firsts)
    for path in figures:
        page.evaluate("path => app.showResultInfo(path)", path)
        page.get_by_text("Made by").first.wait_for()
        assert page.get_by_text("snakemake", exact=False).count()
        page.evaluate(
            "path => app.setView({content: 'img', contentPath: results[path].data_uri, resultPath: path})", path
        )
        page.wait_for_function(
            "path => [...document.images].some(one => one.src === results[path].data_uri && one.complete)", arg=path
        )
        width = page.evaluate(
            "path => [...document.images].find(one => one.src === results[path].data_uri).naturalWidth", path
        )
        assert width > 100, f"{path} is {width} pixels wide"


@pytest.mark.slow
def test_a_reader_finds_the_figures_of_a_study(page: browsers.Page) -> None:
    page.get_by_text("Puzzle", exact=True).first.click()  # the category, left of the first page
    page.get_by_text("Figures", exact=True).first.click()
    page.get_by_text("frontier and baselines").first.wait_for()
    page.shoot("report-puzzle")
