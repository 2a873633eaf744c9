"""The stages that write tables and figures."""

import json
import xml.etree.ElementTree as ET

import pytest

from tessera import params
from tessera.common import files, run_files
from tessera.puzzle.stages import figures
from tessera.puzzle.stages import tables as puzzle_tables


@pytest.fixture(scope="module")
def study(repository):
    section = params.load(repository / "params.yaml").puzzle.model_dump(mode="json")
    return puzzle_tables.Params.model_validate_json(json.dumps({"puzzle": section, "seed": 0}))


def tables(chain, study, root):
    out = {"results": root / "results.md", "metrics": root / "metrics.json", "runs": root / "runs"}
    puzzle_tables.main(study, **chain, **out, tables=[root / f"{name}.csv" for name in puzzle_tables.TABLES])
    return sorted(path for path in root.rglob("*") if path.is_file())


def test_tables_repeat_byte_by_byte_and_runs_are_run_files(chain, study, tmp_path):
    first, second = tables(chain, study, tmp_path / "first"), tables(chain, study, tmp_path / "second")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    runs = list((tmp_path / "first/runs").glob("*/*.json"))
    assert len(runs) > 50
    for path in runs:
        run_files.read(path)
    assert len(files.read_csv(tmp_path / "first/evaluation.csv")) > 50


def test_every_figure_is_an_svg_and_the_same_twice(chain, tmp_path):
    paths = [tmp_path / f"{figure}.svg" for figure in figures.FIGURES]
    figures.main(**chain, figures=paths)
    for path in paths:
        content = path.read_bytes()
        assert ET.fromstring(content).tag.endswith("svg") and b"<dc:date>" not in content
    again = [tmp_path / "again" / f"{figure}.svg" for figure in ("prediction", "healing")]
    figures.main(**chain, figures=again)
    for path in again:
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


def without_errors(value):
    """JSON as it is when scores and evaluation are of one document."""
    if isinstance(value, dict):
        return {key: None if key.endswith("_se") else without_errors(child) for key, child in value.items()}
    return [without_errors(child) for child in value] if isinstance(value, list) else value


def test_standard_errors_that_are_undefined_are_not_zero(chain, study, tmp_path):
    chain = dict(chain)
    for key in ("scores", "evaluation", "frontier"):
        copies = [tmp_path / key / str(n) / path.parent.name / path.name for n, path in enumerate(chain[key])]
        for path, copy in zip(chain[key], copies, strict=True):
            files.write_json(copy, without_errors(files.read_json(path)))
        chain[key] = copies
    tables(chain, study, tmp_path / "tables")
    assert "± n/a" in (tmp_path / "tables/results.md").read_text()
    for run in (tmp_path / "tables/runs").glob("*/*.json"):
        assert not any(name.endswith("_se") for name in run_files.read(run).metrics)
    figures.main(**chain, figures=[tmp_path / f"{figure}.svg" for figure in figures.FIGURES])


def test_names_that_are_none_are_refused(chain, study, tmp_path):
    with pytest.raises(ValueError, match=r"there is no frontiers\.svg; valid are frontier"):
        figures.main(**chain, figures=[tmp_path / "frontiers.svg"])
    out = {"results": tmp_path / "r.md", "metrics": tmp_path / "m.json", "runs": tmp_path / "runs"}
    with pytest.raises(ValueError, match=r"there is no cost\.csv; valid are results"):
        puzzle_tables.main(study, **chain, **out, tables=[tmp_path / "cost.csv"])
