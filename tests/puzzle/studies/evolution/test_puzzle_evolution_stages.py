"""The stages of the search on true KL, on a tiny parent with a library of random weights."""

import math

import numpy as np
import pytest
import small_reports
import torch

from tessera.common import files
from tessera.common.params import check
from tessera.puzzle import child
from tessera.puzzle.costs.params import CostTarget
from tessera.puzzle.costs.tables import of_target
from tessera.puzzle.models import architecture as architectures
from tessera.puzzle.models import loading
from tessera.puzzle.scores import reference as validity
from tessera.puzzle.search import block_library
from tessera.puzzle.studies.evolution.report import REPORT
from tessera.puzzle.studies.evolution.search import Runner
from tessera.puzzle.studies.evolution.stages import report
from tessera.puzzle.studies.evolution.stages import search as puzzle_evolution_search

ABOUT = {
    "source": "roofline",
    "hardware": "h100-sxm",
    "dtype": "bfloat16",
    "workload": {"batch": 1, "prefill": 8, "decode": 2},
}
EVOLUTION = {
    "target": "here",
    "speedup": 1.3,
    "windows": 2,
    "test_windows": 3,
    "seeds": 2,
    "population": 3,
    "offspring": 4,
    "generations": 2,
    "mutations": 1.0,
}
SEARCHES = ["program-0", *(f"{search}-{n}" for search in ("random", "evolution", "warm") for n in range(2))]


def params(variants, **changes):
    values = {
        "evolution": EVOLUTION | changes,
        "compute": {"device": "cpu", "dtype": "float32"},
        "space": variants.model_dump(mode="json"),
        "search": {"objective": "metrics.kl_div", "speedups": [1.2], "child_speedup": 1.2, "methods": ["mip"]},
        "scores": {"jobs": 1, "windows": 4, "window": 19},
        "seed": 3,
    }
    return check(puzzle_evolution_search.Params, values)


@pytest.fixture(scope="module")
def run(parent, library, variants, tokens, tmp_path_factory):
    """Run a search by name in a directory; scores are made up, in the order of what is left of a subblock."""
    made = tmp_path_factory.mktemp("search") / "block_library.json"
    damage = {"kv1": 0.1, "linear": 0.3, "no_op": 0.4, "ffn50": 0.1, "ffn25": 0.2}
    scores = [
        {
            "attention": {"parent": {"kl_div": 0.0}} | {n: {"kl_div": damage[n]} for n in variants.attention},
            "ffn": {n: {"kl_div": damage[n]} for n in variants.ffn},
        }
        for _ in range(3)
    ]
    costs = of_target(architectures.read(parent()), variants, CostTarget.model_validate(ABOUT))
    files.write_json(made, block_library.make(scores, costs))

    def search(name, directory, known=made, **changes):
        kind, _, replicate = name.partition("-")
        puzzle_evolution_search.main(
            params(variants, **changes), kind, int(replicate), parent(), tokens, library(), known,
            directory / "ledger.json", directory / f"{name}.json",
        )  # fmt: skip
        return files.read_json(directory / f"{name}.json")

    return search


@pytest.fixture(scope="module")
def found(run, tmp_path_factory):
    """Rows of all searches, and where their files are."""
    out = tmp_path_factory.mktemp("evolution")
    return {name: run(name, out) for name in SEARCHES}, out


def test_each_search_runs_as_many_children_within_the_budget(found):
    rows, out = found
    for name, row in rows.items():
        assert len(row["children"]) == (1 if name == "program-0" else 3 + 2 * 4)
        assert row["best"]["runtime_ms"] <= row["budget_ms"] * (1 + 1e-9)
        assert row["best"]["kl_div"] == min(one["kl_div"] for one in row["children"])
        assert len(row["best"]["test"]["by_window"]["kl_div"]) == 3
    assert not (out / "ledger.json").exists()


def test_searches_begin_where_they_should(found):
    rows, _ = found
    (program,) = rows["program-0"]["children"]
    for n in range(2):
        assert rows[f"warm-{n}"]["children"][0] == program
        assert rows[f"warm-{n}"]["best"]["kl_div"] <= program["kl_div"]
        assert rows[f"evolution-{n}"]["children"][:3] == rows[f"random-{n}"]["children"][:3]
    assert rows["random-0"]["children"] != rows["random-1"]["children"]


def test_losses_are_those_of_children_that_are_assembled(found, parent, library, variants, tokens):
    import torch

    from tessera.common import randomness
    from tessera.data.tokens import windows

    teacher = loading.load(parent()).requires_grad_(False)
    text = windows(tokens, "valid", 20, 2, randomness.seed(3, "puzzle", "scores"))
    reference = validity.Reference(teacher, torch.from_numpy(text.tokens).long(), text.document)
    for row in found[0]["evolution-1"]["children"][:4]:
        whole = child.assemble(teacher, variants, library(), row["blocks"])
        assert row["kl_div"] == reference.measure(whole)["kl_div"]


def test_a_killed_search_ends_as_an_unbroken_one(run, found, tmp_path, monkeypatch):
    rows, _ = found
    measure, asked = validity.Reference.measure, []

    def dying(self, model):
        if len(asked) == 5:
            raise KeyboardInterrupt
        asked.append(model)
        return measure(self, model)

    monkeypatch.setattr(validity.Reference, "measure", dying)
    with pytest.raises(KeyboardInterrupt):
        run("evolution-0", tmp_path)
    kept = files.read_json(tmp_path / "ledger.json")["children"]
    assert kept == rows["evolution-0"]["children"][:5]
    del asked[:]
    monkeypatch.setattr(validity.Reference, "measure", lambda self, model: asked.append(model) or measure(self, model))
    assert run("evolution-0", tmp_path) == rows["evolution-0"]
    assert len(asked) == 11 - 5 + 1  # the best one on test text


def test_what_was_kept_of_other_weights_or_text_is_not_believed(run, found, tmp_path):
    rows, _ = found
    wrong = [{**child, "kl_div": 0.0} for child in rows["warm-0"]["children"]]
    files.write_json(tmp_path / "ledger.json", {"identity": "of other text", "children": wrong})
    assert run("warm-0", tmp_path) == rows["warm-0"]


def test_a_ledger_is_of_its_text_and_mask(parent, library, variants):
    tokens, documents, teacher = torch.arange(40).view(2, 20), np.arange(2), loading.load(parent())
    masks = (None, tokens[:, 1:] % 2 == 0, tokens[:, 1:] % 3 == 0)
    runners = [Runner(teacher, variants, library(), tokens, documents, mask) for mask in masks]
    assert len({files.to_json(runner._identity()) for runner in runners}) == 3


def test_a_budget_that_no_child_keeps_is_refused(run, tmp_path):
    costly = {"stats": {"runtime_ms": 1.0}, "metrics": {"kl_div": 0.0}}
    files.write_json(tmp_path / "library.json", {f"layer_{i}": {"parent+parent": costly} for i in range(3)})
    with pytest.raises(ValueError, match=r"evolution.speedup = 1.3: no child of the library is that fast"):
        run("program-0", tmp_path, known=tmp_path / "library.json")


def test_report_and_runs(found, tmp_path):
    rows, out = found
    settings = check(report.Params, {"evolution": EVOLUTION, "seed": 3})
    paths = [out / f"{name}.json" for name in reversed(SEARCHES)]
    named, contents = small_reports.arguments(REPORT, tmp_path), []
    for _ in range(2):
        report.main(settings, paths, **named)
        contents.append(small_reports.content(tmp_path))
    assert contents[0] == contents[1]
    table = files.read_csv(tmp_path / "tables/searches.csv")
    assert list(table["search"]) == ["program", "random", "random", "evolution", "evolution", "warm", "warm"]
    assert table["difference"][0] == 0 and table["unlike"][0] == 0 and math.isnan(table["needed"][0])
    for name, needed in zip(SEARCHES, table["needed"], strict=True):
        losses = [one["kl_div"] for one in rows[name]["children"]]
        nearer = [n for n, loss in enumerate(losses, 1) if loss < rows["program-0"]["best"]["kl_div"]]
        assert needed == nearer[0] if nearer else math.isnan(needed)
    numbers = files.read_json(named["metrics"])
    assert numbers["warm"]["1"]["kl_div"] == rows["warm-1"]["best"]["kl_div"]
    bounds = table["difference"] - 1.96 * table["difference_se"], table["difference"] + 1.96 * table["difference_se"]
    for search in ("random", "evolution", "warm"):
        of_search = table["search"] == search
        nearer, further = int((bounds[1][of_search] < 0).sum()), int((bounds[0][of_search] > 0).sum())
        assert numbers["all"][search] == {"runs": 2, "clearly_nearer": nearer, "clearly_further": further}
    # Seven variants per layer, on twice the text.
    assert numbers["scores_children"] == pytest.approx(2 * 7 * (1 + 2 / 3 + 1 / 3))
    text = (tmp_path / "texts/results.md").read_text()
    assert text.count("| evolution |") == 2 and "cost as much as 28 children" in text
    runs = {run.job.partition("/")[2]: run for run in small_reports.runs(tmp_path).values()}
    assert set(runs) == set(SEARCHES)
    for name in SEARCHES:
        best = [loss for _, loss in runs[name].history["best_kl_div"]]
        assert best == sorted(best, reverse=True) and best[-1] == rows[name]["best"]["kl_div"]
