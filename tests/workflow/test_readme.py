"""The parts of documents that are filled from files."""

from pathlib import Path

import pytest

from tessera.workflow import readme

RESULTS = "reports/tables/puzzle/results.md"


def document(name: str, content: str = "old") -> str:
    return f"a\n<!-- {name}:begin -->\n{content}\n<!-- {name}:end -->\nb\n"


def test_a_part_is_exchanged_and_nothing_else() -> None:
    text = document(RESULTS) + document("compute")
    filled = readme.replaced(text, RESULTS, "new\n")
    assert filled == document(RESULTS, "new") + document("compute")
    assert readme.parts(filled, "README.md") == {RESULTS: "new\n", "compute": "old\n"}
    assert readme.replaced(filled, RESULTS, "new\n") == filled


def test_missing_marks_are_named() -> None:
    with pytest.raises(ValueError, match=r"README\.md: no part compute"):
        readme.replaced(document(RESULTS), "compute", "new")
    with pytest.raises(ValueError, match=r"docs/a\.md: the part compute does not end"):
        readme.parts("<!-- compute:begin -->\nold\n", "docs/a.md")


def benchmark(root: Path, name: str, seconds: int) -> None:
    path = root / f"{name}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:30\t{10 * seconds}\n")


def test_compute_sums_the_jobs_of_a_rule_or_of_a_study(tmp_path: Path) -> None:
    benchmark(tmp_path, "puzzle_library/0", 30)
    benchmark(tmp_path, "puzzle_library/1", 90)
    benchmark(tmp_path, "puzzle_peers_child/a", 60)
    benchmark(tmp_path, "tracking", 3)
    assert readme.compute(tmp_path, "puzzle").splitlines()[2:] == [
        "| puzzle_library | 2 | 2.0 | 900 |",
        "| puzzle_peers_child | 1 | 1.0 | 600 |",
        "| all | 3 | 3.0 | 900 |",
    ]
    assert readme.compute(tmp_path).splitlines()[2:] == [
        "| puzzle | 2 | 2.0 | 900 |",
        "| puzzle_peers | 1 | 1.0 | 600 |",
        "| report and runs | 1 | 0.1 | 30 |",
        "| all | 4 | 3.0 | 900 |",
    ]


def test_update_fills_what_there_is(tmp_path: Path) -> None:
    other = "reports/tables/tsvm/results.md"
    places = {"README.md": RESULTS, "docs/guide.md": other, "src/tessera/puzzle/studies/peers/README.md": "compute"}
    for name, part in places.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(document(part))
    with pytest.raises(FileNotFoundError, match="no results"):
        readme.update(tmp_path)
    (tmp_path / RESULTS).parent.mkdir(parents=True)
    (tmp_path / RESULTS).write_text("| table |\n")
    benchmark(tmp_path / readme.BENCHMARKS, "puzzle_library", 30)
    assert readme.update(tmp_path) == ["README.md"]
    assert (tmp_path / "README.md").read_text() == document(RESULTS, "| table |")
    benchmark(tmp_path / readme.BENCHMARKS, "puzzle_peers_child", 30)
    assert readme.update(tmp_path) == ["src/tessera/puzzle/studies/peers/README.md"]
    assert readme.update(tmp_path) == []


def test_a_part_of_a_run_does_not_replace_the_costs_of_a_whole_one(tmp_path: Path) -> None:
    (tmp_path / RESULTS).parent.mkdir(parents=True)
    (tmp_path / RESULTS).write_text("| table |\n")
    for number in range(4):
        benchmark(tmp_path / readme.BENCHMARKS, f"puzzle_library/{number}", 30)
    (tmp_path / "README.md").write_text(document("compute"))
    assert readme.update(tmp_path) == ["README.md"]
    for number in range(4):
        (tmp_path / readme.BENCHMARKS / f"puzzle_library/{number}.tsv").unlink()
    benchmark(tmp_path / readme.BENCHMARKS, "puzzle_library/0", 60)
    assert readme.update(tmp_path) == []
    for number in (1, 2):
        benchmark(tmp_path / readme.BENCHMARKS, f"puzzle_library/{number}", 60)
    assert readme.update(tmp_path) == ["README.md"]


def test_the_documents_show_the_results_that_are_there(repository: Path) -> None:
    for path in readme.documents(repository):
        for name, shown in readme.parts(path.read_text(), path).items():
            results = repository / name
            if results.is_file():
                assert shown == results.read_text(), f"{path} is out of date: run tessera readme"


def test_every_part_has_a_file_that_the_workflow_or_a_benchmark_makes(repository: Path) -> None:
    for path in readme.documents(repository):
        for name in readme.parts(path.read_text(), path):
            made = ("reports/tables/", "reports/gemma3/tables/", "benchmarks/")  # the second by make gemma3
            assert name == readme.COMPUTE or name.startswith(made), f"{path}: {name}"
