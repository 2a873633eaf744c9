"""The stage from scores and costs to frontier and children."""

import json

import pandas as pd
import pytest

from tessera.puzzle.costs import tables
from tessera.puzzle.models.architecture import from_config
from tessera.puzzle.models.space import FFN, Attention, Space
from tessera.puzzle.search import quadratic
from tessera.puzzle.stages import search_target as puzzle_search

ARCHITECTURE = from_config(
    {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 12, "num_attention_heads": 4, "vocab_size": 512}
    | {"num_key_value_heads": 2, "intermediate_size": 192, "tie_word_embeddings": True}
)
SPACE = Space(
    attention={"kv1": Attention(kind="gqa", kv_heads=1), "no_op": Attention(kind="no_op")},
    ffn={"ffn50": FFN(kind="gated", width=0.5), "no_op": FFN(kind="no_op")},
)
#: What the stage reads besides, if it runs children.
OTHERS = {"space": SPACE.model_dump(mode="json"), "scores": {"jobs": 1, "windows": 1, "window": 8}, "compute": {}}
METHODS = ["quadratic", "mip", "greedy", "max_params", "homogeneous", "no_op_only", "stock", "random"]


def scores(layer):
    """Scores that differ by layer, worse the more is dropped."""

    def metrics(loss):
        kl = loss * (1 + (7 * layer) % 12) / 100
        return {"kl_div": kl, "kl_div_se": kl / 10, "lm_loss": 3.0 + kl, "top1": 1 - kl}

    attention = {"parent": 0.0, "kv1": 1.0, "no_op": 3.0 + layer % 3}
    ffn = {"parent": 0.0, "ffn50": 2.0, "no_op": 9.0 - layer % 2}
    return {s: {v: metrics(x) for v, x in values.items()} for s, values in (("attention", attention), ("ffn", ffn))}


@pytest.fixture
def run(tmp_path):
    table = tables.table(
        ARCHITECTURE,
        SPACE,
        {"batch": 8, "prefill": 64, "decode": 64},
        "roofline",
        hardware="h100-sxm",
        dtype="bfloat16",
    )
    table.to_parquet(tmp_path / "costs.parquet", index=False)
    paths = [tmp_path / f"layers_{first}.json" for first in (5, 0, 10)]  # in any order
    for path, layers in zip(paths, (range(5, 10), range(5), range(10, 12)), strict=True):
        path.write_text(json.dumps({str(layer): scores(layer) for layer in layers}))

    def call(name, given=(), **search):
        given = {name: [tmp_path] if name == "variants" else tmp_path for name in given}
        out = tmp_path / name
        settings = {"speedups": [1.1, 1.5, 2.0], "child_speedup": 1.3, "methods": METHODS, "cosines": [0.2]} | search
        params = puzzle_search.Params.model_validate_json(json.dumps({"search": settings, "seed": 3} | OTHERS))
        names = ("library", "measurement_info", "frontier", "children")
        files = {n: out / f"{n}.json" for n in names} | {"frontier_table": out / "frontier.csv"}
        puzzle_search.main(params, "here", paths, tmp_path / "costs.parquet", **files, **given)
        return out

    return call


def test_files_hold_every_method_within_budget_and_repeat_byte_by_byte(run):
    first, second = run("first"), run("second")
    for file in sorted(first.iterdir()):
        assert file.read_bytes() == (second / file.name).read_bytes(), file.name
    frontier = json.loads((first / "frontier.json").read_text())
    assert [(p["method"], p["speedup"]) for p in frontier["points"]] == [
        (m, s) for s in (1.1, 1.5, 2.0) for m in METHODS
    ]
    for point in frontier["points"]:
        assert point["costs"]["stats.runtime_ms"] <= point["runtime_budget_ms"] * (1 + 1e-9)
        assert point["speed"]["blocks_speedup"] >= point["speedup"] * (1 - 1e-9)
        best = next(p for p in frontier["points"] if p["method"] == "mip" and p["speedup"] == point["speedup"])
        assert best["status"] == "optimal" and best["value"] <= point["value"] + 1e-9
        assert point["status"] == ("optimal" if point["method"] in ("mip", "quadratic") else "heuristic")
    table = pd.read_csv(first / "frontier.csv")
    assert len(table) == 24 and {"value", "runtime_ms", "model_speedup", "shadow_price"} <= set(table.columns)


def test_children_list_their_blocks_in_the_order_of_the_layers(run):
    out = run("out")
    library = json.loads((out / "library.json").read_text())
    children = json.loads((out / "children.json").read_text())
    assert list(children["children"]) == sorted(METHODS) and children["speedup"] == 1.3
    for child in children["children"].values():
        assert child["blocks"] == [child["choice"][f"layer_{i}"] for i in range(12)]
        summed = sum(library[f"layer_{i}"][b]["metrics"]["kl_div"] for i, b in enumerate(child["blocks"]))
        if child["method"] in ("quadratic", "stock"):
            assert child["value"] > summed
        else:
            assert child["value"] == pytest.approx(summed)


def test_further_budgets_hold_as_well(run):
    out = run("out", at_most={"stats.parameters": "60%"}, methods=["mip"])
    library = json.loads((out / "library.json").read_text())
    parent = 12 * library["layer_0"]["parent+parent"]["stats"]["parameters"]
    child = json.loads((out / "children.json").read_text())["children"]["mip"]
    assert child["costs"]["stats.parameters"] <= 0.6 * parent


def test_children_keep_the_limits_of_a_whole_model(run):
    out = run("limits", methods=["mip"], child_speedup=None, child={"memory": "70%"})
    info = json.loads((out / "measurement_info.json").read_text())
    found = json.loads((out / "children.json").read_text())
    assert found["speedup"] is None and found["limits"]["memory"] == "70%"
    library = json.loads((out / "library.json").read_text())
    outside = info["non_block"]["memory_mib"]
    whole = outside + sum(layer["parent+parent"]["stats"]["memory_mib"] for layer in library.values())
    child = found["children"]["mip"]
    assert child["status"] == "optimal" and child["runtime_budget_ms"] is None
    assert 0.6 * whole < outside + child["costs"]["stats.memory_mib"] <= 0.7 * whole


def test_the_children_need_a_limit(run):
    with pytest.raises(ValueError, match="expected a limit"):
        run("none", child_speedup=None)


def test_the_cosine_is_fitted_to_children_that_are_run(run, monkeypatch):
    """KL is made by another cosine than those given: it is found, and so are its optima."""
    ran, true, library = [], 0.3, {}

    def kl(params, parent, tokens, variants):
        def measured(choice):
            ran.append(list(choice.values()))
            rooted, root = quadratic.with_roots(library, "metrics.kl_div")
            return quadratic.value(rooted, choice, "metrics.kl_div", root, true)

        return measured

    monkeypatch.setattr(puzzle_search, "_kl", kl)
    few = {"methods": ["quadratic"], "speedups": [1.2, 1.5]}
    library |= json.loads((run("known", **few, cosines=[true]) / "library.json").read_text())
    assert not ran
    out = run("several", ("parent", "tokens", "variants"), **few, cosines=[0.0, 0.05])
    frontier, known = (json.loads((path / "frontier.json").read_text()) for path in (out, out.parent / "known"))
    assert frontier["cosine"] == pytest.approx(true) and known["cosine"] == true
    assert [row["blocks"] for row in frontier["runs"]] == ran
    for point, best in zip(frontier["points"], known["points"], strict=True):
        assert point["status"] == "optimal" and point["value"] == pytest.approx(best["value"], rel=1e-5)
        plain = next(row for row in frontier["runs"] if row["blocks"] == point["blocks"])
        assert plain["scores"] + true * plain["interactions"] == pytest.approx(plain["kl_div"])
    child = json.loads((out / "children.json").read_text())
    assert child["cosine"] == frontier["cosine"] and child["children"]["quadratic"]["blocks"] in ran


def test_several_optima_need_what_runs_them(run):
    with pytest.raises(ValueError, match="to choose, the job needs --parent, --tokens, --variants"):
        run("several", methods=["quadratic"], cosines=[0.0, 0.2])


def test_interactions_are_those_of_one_objective(run):
    with pytest.raises(ValueError, match=r"methods has quadratic, but objective = metrics\.lm_loss"):
        run("other", methods=["quadratic"], objective="metrics.lm_loss")
