"""The captions of the report."""

from pathlib import Path

import jinja2
import pytest
from docutils.core import publish_parts
from snakemake.iocontainers import InputFiles, OutputFiles, Params, Wildcards

from tessera.workflow import captions


class Job:
    """What Snakemake tells a caption of the job that wrote the item."""

    rule = "study_report"
    params = Params(fromdict={"stage": "tessera.study.stages.report --texts results.md"})
    output = OutputFiles(fromdict={"texts": "reports/tables/study/results.md"})
    input = InputFiles(fromdict={"table": "data/study/a.csv", "losses": ["b.csv", "c.csv"], "code": ["src/x.py"]})
    wildcards = Wildcards(fromdict={})


def shown(caption: str, job: type[Job] = Job) -> str:
    """A caption as the report's page has it."""
    source = jinja2.Environment().from_string(caption).render(snakemake=job)
    return publish_parts(source, writer="html", settings_overrides={"halt_level": 2})["body"]


def draw() -> None:
    r"""Loss against \alpha_t and kappa_out, 2*x | y, of `tessera verify` and {{ braces }}."""


def test_a_caption_is_the_docstring_and_what_made_the_item() -> None:
    page = shown(captions._caption("study/loss.svg", draw))
    assert r"Loss against \alpha_t and kappa_out, 2*x | y, of" in page
    assert "{{ braces }}" in page
    assert page.count("tessera verify") == 0 or "<tt" in page or "<code" in page
    words = " ".join(page.replace("</span>", "").split())
    assert "study_report" in words and "tessera.study.stages.report" in words
    assert "data/study/a.csv" in words and "b.csv" in words and "and more" in words
    assert "src/x.py" not in words


def test_a_rule_with_wildcards_is_named_by_a_file() -> None:
    class Wild(Job):
        wildcards = Wildcards(fromdict={"suite": "full"})

    assert "reports/tables/study/results.md" in shown(captions._caption("study/loss.svg", draw), Wild)


def test_an_item_without_words_is_named() -> None:
    with pytest.raises(ValueError, match=r"study/loss\.svg: .*lambda.* needs a docstring"):
        captions._caption("study/loss.svg", lambda results: None)


def test_every_item_of_every_study_has_a_caption(tmp_path: Path) -> None:
    captions.write(tmp_path / "captions")
    written = {path.relative_to(tmp_path / "captions").as_posix() for path in (tmp_path / "captions").rglob("*.rst")}
    assert written == set(captions.captions())
    assert {"claims.md.rst", "balanced/capacity.svg.rst", "balanced/learning.csv.rst"} <= written
    for name, caption in captions.captions().items():
        assert "Made by" in shown(caption), name
