"""`tessera puzzle` on the command line."""

import json

import pytest
from small_libraries import SCORE, SIZE, TIME, library
from typer.testing import CliRunner

from tessera.common import files
from tessera.puzzle import search
from tessera.puzzle.cli import app

LIBRARY = library([[0, 1, 3], [0, 2, 5]], [[4.0, 2.0, 1.0], [4.0, 2.0, 1.0]], [[40, 20, 10], [40, 20, 10]])


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "library.json"
    path.write_text(json.dumps(LIBRARY))
    return path


def call(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_solve_writes_the_solution_and_shows_it(path, tmp_path):
    out = tmp_path / "out.json"
    result = call("solve", path, "--at-most", f"{TIME}=6", "--at-least", f"{SIZE}=25%", "--out", out)
    assert result.exit_code == 0, result.output
    written = json.loads(out.read_text())
    assert written["solutions"] == [search.solve(LIBRARY, SCORE, {TIME: 6.0}, {SIZE: 20.0}).as_dict()]
    assert written["request"]["at_least"] == {SIZE: 20.0}
    assert "optimal" in result.output and SCORE in result.output


def test_names_are_shown_as_they_are_written(tmp_path):
    """Square brackets and colons are part of a name, not markup or emoji."""
    names = ["gqa[kv8]+ffn[full]", "gqa[kv4]+ffn[half]", "x[/y]", ":x: [bold]"]
    cell = {"stats": {"runtime_ms": 1.0}, "metrics": {"kl_div": 0.0}}
    blocks = {f"layer_{i}": {name: cell, "parent": cell} for i, name in enumerate(names)}
    for block in blocks.values():
        block["parent"] = {"stats": {"runtime_ms": 9.0}, "metrics": {"kl_div": 0.0}}
    (tmp_path / "library.json").write_text(json.dumps(blocks))
    result = call("solve", tmp_path / "library.json", "--at-most", "stats.runtime_ms=4")
    assert result.exit_code == 0, result.output
    assert all(name in result.output for name in names)


def test_speedup_solver_and_homogeneous(path, tmp_path):
    out = tmp_path / "out.json"
    assert call("solve", path, "--speedup", 1.3, "--solver", "cbc", "--out", out).exit_code == 0
    assert json.loads(out.read_text())["solutions"][0]["value"] == 1
    assert call("solve", path, "--speedup", 1.3, "--homogeneous", "--out", out).exit_code == 0
    assert json.loads(out.read_text())["solutions"][0]["choice"] == {"layer_0": "v1", "layer_1": "v1"}


def test_diverse_solutions_continue_from_a_file(path, tmp_path):
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    assert call("solve", path, "--count", 2, "--min-difference", 1, "--out", first).exit_code == 0
    assert call("solve", path, "--different-from", first, "--min-difference", 1, "--out", second).exit_code == 0
    values = [s["value"] for p in (first, second) for s in json.loads(p.read_text())["solutions"]]
    assert values == [0, 1, 2]


def test_frontier_by_speedups_and_by_limits(path, tmp_path):
    out = tmp_path / "out.json"
    assert call("frontier", path, "--speedups", "1,1.3,2,4", "--out", out).exit_code == 0
    assert [s["value"] for s in json.loads(out.read_text())["solutions"]] == [0, 1, 3, 8]
    assert call("frontier", path, "--budget", SIZE, "--limits", "80,50%", "--out", out).exit_code == 0
    assert [s["value"] for s in json.loads(out.read_text())["solutions"]] == [0, 3]


def test_interactions_of_attentions(tmp_path):
    def block(kl, time):
        return {"stats": {"runtime_ms": time}, "metrics": {"kl_div": kl}}

    layer = {"parent+parent": block(0, 1.0), "no_op+parent": block(0.1, 0.0), "parent+no_op": block(0.12, 0.0)}
    files.write_json(tmp_path / "library.json", {f"layer_{i}": layer for i in range(8)})
    arguments = ("solve", tmp_path / "library.json", "--at-most", f"{TIME}=2", "--out", tmp_path / "out.json")
    for cosine, attentions in ((0, (6,)), (0.1, (1, 2))):
        assert call(*arguments, "--cosine", cosine).exit_code == 0
        (solution,) = files.read_json(tmp_path / "out.json")["solutions"]
        assert list(solution["choice"].values()).count("no_op+parent") in attentions
    assert solution["value"] == pytest.approx(0.1 + 5 * 0.12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--at-most", f"{TIME}=1"),
            "infeasible: no choice keeps all limits\n  at_most stats.runtime_ms 1.0: 2 is feasible",
        ),
        (("--at-most", f"{TIME}=3", "--at-least", f"{TIME}=5"), "at_most stats.runtime_ms 3.0: 5"),
        (("--at-most", f"{TIME}=3", "--at-least", f"{TIME}=5"), "at_least stats.runtime_ms 5.0: 3"),
        (("--parent", "v9"), "layer_0: no variant 'v9'; it has 'v0', 'v1', 'v2'"),
        (("--at-most", TIME), "expected KEY=NUMBER"),
        (("--at-most", f"{TIME}=1", "--at-most", f"{TIME}=2"), "is given twice"),
        (("--at-most", "stats.watts=1"), "layer_0, 'v0' has no stats.watts"),
        (("--objective", "metrics.bleu"), "has no metrics.bleu"),
        (("--speedup", "-1"), "speedup = -1.0; expected a number > 0"),
        (("--cosine", "0.1", "--homogeneous"), "--cosine goes with neither --homogeneous"),
        (("--cosine", "0.1"), "block variant 'v0': expected ATTENTION+FFN"),
    ],
)
def test_errors_are_one_message_and_status_1(path, arguments, message):
    result = call("solve", path, *arguments)
    assert result.exit_code == 1
    assert message in result.output and "Traceback" not in result.output


def test_frontier_wants_one_kind_of_budget(path):
    assert "either --speedups or --limits" in call("frontier", path).output
    assert "'x'; expected comma-separated numbers" in call("frontier", path, "--speedups", "1,x").output


def test_missing_and_bad_files_are_named(tmp_path):
    missing = call("solve", tmp_path / "no.json")
    assert missing.exit_code == 1 and "no.json" in missing.output
    (tmp_path / "bad.json").write_text('{"layer_0": {}}')
    bad = call("solve", tmp_path / "bad.json")
    assert bad.exit_code == 1 and "bad.json: layer_0 has no variants" in bad.output
