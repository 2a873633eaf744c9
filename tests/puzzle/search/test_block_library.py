"""Block libraries as files, as sums, and made from scores and costs."""

import json
import math

import pandas as pd
import pytest
from small_libraries import library

from tessera.puzzle.search import block_library


def written(tmp_path, text):
    path = tmp_path / "library.json"
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return path


def test_reads_what_it_is_given(tmp_path):
    lib = library([[1, 0], [0.5, 2]], [[0, 1], [1, 2]])
    assert block_library.read(written(tmp_path, lib)) == lib


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting property name"),
        ("[]", "not a block library"),
        ("{}", "not a block library"),
        ('{"layer_0": {}}', "layer_0 has no variants"),
        ('{"layer_0": {"v0": {"stats": 3}}}', "layer_0, 'v0' must have the form"),
        ('{"layer_0": {"v0": {}, "v0": {}}}', "the key 'v0' is duplicated"),
    ],
)
def test_bad_files_are_refused_by_name(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=f"{path}.*{message}"):
        block_library.read(path)


def test_layers_come_in_their_natural_order():
    names = ["layer_10", "layer_2", "layer_1", "head"]
    assert block_library.layers({name: {} for name in names}) == ["head", "layer_1", "layer_2", "layer_10"]


def test_parent_is_told_by_name_by_divergence_or_by_hand():
    lib = library([[0, 1], [0, 2]], [[1, 0], [1, 0]])
    assert block_library.parent_choice(lib) == {"layer_0": "v0", "layer_1": "v0"}
    assert block_library.parent_choice(lib, "v1") == {"layer_0": "v1", "layer_1": "v1"}
    lib["layer_1"]["v1"]["metrics"]["kl_div"] = 0
    with pytest.raises(ValueError, match="layer_1: cannot infer the parent's variant; name it, one of 'v0', 'v1'"):
        block_library.parent_choice(lib)
    lib["layer_1"]["parent+parent"] = lib["layer_1"].pop("v1")
    assert block_library.parent_choice(lib)["layer_1"] == "parent+parent"


def costs(**changes):
    rows = [
        ("attention", "parent", 2.0, 100), ("attention", "no_op", 0.0, 0),
        ("ffn", "parent", 3.0, 300), ("ffn", "ffn50", 1.5, 150), ("non_block", "-", 7.0, 50),
    ]  # fmt: skip
    table = pd.DataFrame(
        [
            {"subblock": s, "variant": v, "parameters": n, "source": "roofline", "hardware": "h", "software": "none"}
            | {"dtype": "bfloat16", "batch": 2, "prefill": 3, "decode": 4, "max_num_tokens": 8}
            | {c: ms for c in block_library.STATS if c != "parameters"}
            for s, v, ms, n in rows
        ]
    )
    return table.assign(**changes)


PARENT = {"kl_div": 0.0, "kl_div_se": 0.0, "lm_loss": 2.0, "top1": 1.0}
SCORES = {
    "attention": {"parent": PARENT, "no_op": {"kl_div": 0.3, "kl_div_se": 0.03, "lm_loss": 2.25, "top1": 0.8}},
    "ffn": {"parent": PARENT, "ffn50": {"kl_div": 0.5, "kl_div_se": 0.04, "lm_loss": 2.5, "top1": 0.75}},
}


def test_pairs_add_the_increments_of_their_subblocks_and_their_costs():
    lib = block_library.make([SCORES, SCORES], costs())
    assert list(lib) == ["layer_0", "layer_1"]
    assert sorted(lib["layer_0"]) == ["no_op+ffn50", "no_op+parent", "parent+ffn50", "parent+parent"]
    assert lib["layer_0"]["parent+parent"]["metrics"] == PARENT
    both = lib["layer_1"]["no_op+ffn50"]
    assert both["metrics"] == pytest.approx({"kl_div": 0.8, "kl_div_se": 0.05, "lm_loss": 2.75, "top1": 0.55})
    assert both["stats"]["runtime_ms"] == 1.5 and both["stats"]["parameters"] == 150
    assert type(lib["layer_0"]["parent+parent"]["stats"]["parameters"]) is int
    json.dumps(lib, allow_nan=False)


def test_scores_measured_for_a_pair_replace_the_sum():
    measured = {"kl_div": 0.6, "kl_div_se": 0.01, "lm_loss": 2.6, "top1": 0.7}
    lib = block_library.make([SCORES | {"block": {"no_op+ffn50": measured}}], costs())
    assert lib["layer_0"]["no_op+ffn50"]["metrics"] == measured
    assert lib["layer_0"]["no_op+parent"]["metrics"]["kl_div"] == pytest.approx(0.3)


def test_what_is_missing_is_named():
    without = {**SCORES, "attention": {}, "ffn": {}}
    with pytest.raises(ValueError, match="layer_1: no scores of 'parent'"):
        block_library.make([SCORES, without], costs())
    more = {**SCORES, "ffn": SCORES["ffn"] | {"ffn25": SCORES["ffn"]["ffn50"]}}
    with pytest.raises(ValueError, match="layer_0: the cost table has no ffn 'ffn25'; it has parent, ffn50"):
        block_library.make([more], costs())
    with pytest.raises(ValueError, match=r"the cost table has \('attention', 'parent'\) twice"):
        block_library.make([SCORES], pd.concat([costs(), costs()]))


def test_measurement_info_says_what_the_costs_hold_for():
    info = block_library.measurement_info(costs())
    assert (info["batch"], info["prefill"], info["decode"], info["sequence_length"]) == (2, 3, 4, 7)
    assert info["non_block"]["runtime_ms"] == 7.0 and info["non_block"]["parameters"] == 50


def test_total_is_exact():
    lib = library([[0.1], [0.2], [0.3]], [[10**17], [1], [1]])
    choice = {layer: "v0" for layer in lib}
    assert block_library.total(lib, choice, "metrics.kl_div") == math.fsum([0.1, 0.2, 0.3])
    assert block_library.total(lib, choice, "stats.runtime_ms") == 10**17 + 2
