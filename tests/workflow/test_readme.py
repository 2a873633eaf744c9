"""The parts of documents that are made from files."""

import pytest

from tessera.workflow import readme

TEXT = "a\n<!-- results:begin, by a command -->\nold\n<!-- results:end -->\nb\n"


def test_a_part_is_exchanged_and_nothing_else():
    made = readme.replaced(TEXT, "results", "new\n")
    assert made == TEXT.replace("old", "new")
    assert readme.part(made, "results") == "new\n" and readme.replaced(made, "results", "new\n") == made


def test_missing_marks_are_named():
    with pytest.raises(ValueError, match=r"README\.md: no part compute"):
        readme.replaced(TEXT, "compute", "new")


def test_compute_sums_the_jobs_of_a_rule_or_of_a_group(tmp_path):
    for name, seconds in (("puzzle_library/0", 30), ("puzzle_library/1", 90), ("puzzle_speed", 6), ("tracking", 3)):
        path = tmp_path / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:30\t{10 * seconds}\n")
    assert readme.compute(tmp_path, "puzzle").splitlines()[2:] == [
        "| puzzle_library | 2 | 2.0 | 900 |",
        "| puzzle_speed | 1 | 0.1 | 60 |",
        "| all | 3 | 2.1 | 900 |",
    ]
    for name in ("puzzle", "puzzle_library"):
        (tmp_path / f"{name}.smk").touch()
    assert readme.compute(tmp_path, rules=tmp_path).splitlines()[2:] == [
        "| puzzle_library | 2 | 2.0 | 900 |",
        "| puzzle | 1 | 0.1 | 60 |",
        "| report and runs | 1 | 0.1 | 30 |",
        "| all | 4 | 2.1 | 900 |",
    ]


def test_update_fills_what_there_is(tmp_path):
    (tmp_path / "docs").mkdir()
    for name, parts in readme.DOCUMENTS.items():
        others = (part for part in parts if part != "results")
        marks = "".join(f"<!-- {part}:begin -->\n<!-- {part}:end -->\n" for part in others)
        (tmp_path / name).write_text(TEXT * ("results" in parts) + marks)
    with pytest.raises(FileNotFoundError, match="no results"):
        readme.update(tmp_path)
    results = tmp_path / readme.RESULTS["results"]
    results.parent.mkdir(parents=True)
    results.write_text("| table |\n")
    assert readme.update(tmp_path) == ["README.md"]
    assert readme.part((tmp_path / "README.md").read_text(), "results") == "| table |\n"
    assert readme.update(tmp_path) == []


def test_the_documents_show_the_results_that_are_there(repository):
    for name, parts in readme.DOCUMENTS.items():
        text = (repository / name).read_text()
        for one in parts:
            shown = readme.part(text, one, name)
            results = repository / readme.RESULTS.get(one, "none")
            if results.is_file():
                assert shown == results.read_text(), f"{name} is out of date: run tessera readme"
