"""Tables and the sentences under them."""

import copy
import dataclasses
import math

import pytest
from matplotlib.patches import StepPatch
from shapes import SPACE

from tessera.puzzle.costs.lookup import child_cost
from tessera.puzzle.costs.params import CostTarget
from tessera.puzzle.costs.tables import of_target
from tessera.puzzle.models.architecture import from_config
from tessera.puzzle.report import choice_figures, measurement_figures, tables, words
from tessera.puzzle.report.runs import runs


def test_results_have_the_parent_and_every_child(results):
    table = tables.children(results).set_index(["target", "method"])
    assert list(table.index) == [("", "parent")] + [(t, m) for t in results.targets for m in results.methods]
    assert results.methods[0] == "mip" and set(results.targets) == {"h100", "cpu"}
    child = table.loc[("cpu", "mip")]
    assert child["blocks_speedup"] >= 1.3 > 1 and child["model_speedup"] < child["blocks_speedup"]
    assert child["assembled_in_domain_kl_div"] == pytest.approx(1.1 * child["predicted_kl"])
    assert child["full_in_domain_kl_div"] == pytest.approx(0.5 * child["assembled_in_domain_kl_div"])
    assert 0 < child["parameters_share"] < 1
    assert child["cpu_runtime_speedup_predicted"] == pytest.approx(
        results.served["cpu"]["models"]["cpu"]["speedup"]["runtime"]
    )
    assert math.isnan(table.loc[("cpu", "greedy"), "full_in_domain_kl_div"])
    assert table.loc[("", "parent"), "cpu_memory_mib"] == 600


def test_error_of_a_sum_is_the_root_of_squares(results):
    blocks = ["kv1+ffn50", *["parent+parent"] * 3]
    scores = results.scores[0]
    expected = math.hypot(scores["attention"]["kv1"]["kl_div_se"], scores["ffn"]["ffn50"]["kl_div_se"])
    assert results.predicted_se(blocks) == pytest.approx(expected)
    assert results.predicted_se(["parent+parent"] * 4) == 0


def test_markdown_names_hardware_date_and_every_method(results):
    text = words.results(results)
    for name in (
        "NVIDIA",
        "A CPU, 1 threads",
        "2026-01-02",
        "MIP",
        "greedy",
        "max-params",
        "homogeneous",
        "random",
        "±",
    ):
        assert name in text, name
    widths = [line.count("|") for line in text.splitlines() if line.startswith("|")]
    assert len([w for w in widths if w == widths[0]]) == 2 * (2 + 1 + 5) and "nan" not in text


def test_no_baseline_better_is_said(results):
    said = words.findings(results)
    assert sum("no baseline is below MIP" in sentence for sentence in said) == 2
    assert sum("within the 15 % aimed for" in sentence for sentence in said) == 2


def test_several_devices_that_serve_are_told_apart(results):
    served = results.served["cpu"]
    both = dataclasses.replace(results, speed=results.speed | {"served": {"cpu": served, "gpu": served}})
    child = tables.children(both).set_index(["target", "method"]).loc["h100", "mip"]
    assert child["gpu_decode_speedup"] == child["cpu_decode_speedup"] > 1
    said = [s for s in words.findings(both) if "aimed for" in s]
    assert [sum(f"the parent on {name}, measured" in s for s in said) for name in ("cpu", "gpu")] == [2, 2]
    assert words.results(both).count("**Served on A CPU") == 2
    figure = measurement_figures.prediction(both)
    assert [axis.get_title("left") for axis in figure.axes][1:] == ["Speed-up on cpu", "Speed-up on gpu"]


def test_without_a_measured_target_nothing_is_predicted_for_the_device(results):
    """What was served then is the parent and the children at one request, on the device at hand."""
    costs = results.params.costs.model_copy(update={"targets": {"h100": results.params.costs.targets["h100"]}})
    speed = copy.deepcopy(results.speed)
    for row in speed["served"]["cpu"]["models"].values():
        for key in ("predicted", "predicted_speedup", "speedup_error"):
            del row[key]
    only = dataclasses.replace(
        results,
        params=results.params.model_copy(update={"costs": costs}),
        costs={"h100": results.costs["h100"]},
        evaluation={key: value for key, value in results.evaluation.items() if key[0] == "h100"},
        frontier={"h100": results.frontier["h100"]},
        speed=speed,
    )
    text = words.results(only)
    assert "No cost target is measured by torch, so there is no prediction for this" in text and "nan" not in text
    assert not [sentence for sentence in words.findings(only) if "aimed for" in sentence]
    row = tables.children(only).set_index(["target", "method"]).loc["h100", "mip"]
    assert row["cpu_decode_speedup"] > 1 and "cpu_decode_speedup_predicted" not in row
    assert all(math.isfinite(value) for value in tables.metrics(only)["h100"]["mip"].values())
    measurement_figures.prediction(only)


def test_how_well_sums_predict_is_said(results):
    said = [sentence for sentence in words.findings(results) if "times what was predicted" in sentence]
    assert [sentence.split(":")[0] for sentence in said] == ["h100, MIP", "cpu, MIP"]
    fastest = next(p for p in results.frontier["cpu"]["points"] if p["method"] == "mip" and p["speedup"] == 2)
    assert said[1].endswith(f"{fastest['measured']['kl_div'] / fastest['value']:.2f} times at 2x.")


LOCAL_AND_GLOBAL = {
    "model_type": "gemma3_text",
    "num_hidden_layers": 4,
    "hidden_size": 576,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "head_dim": 64,
    "intermediate_size": 1536,
    "vocab_size": 1000,
    "sliding_window": 64,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
}


@pytest.fixture
def mixed(results):
    """The results, with the costs of a parent whose second and fourth layers have no window."""
    workload = {"batch": 64, "prefill": 512, "decode": 64}
    shared = {"source": "roofline", "hardware": "h100-sxm", "dtype": "bfloat16"}
    shape = from_config(LOCAL_AND_GLOBAL)
    table = of_target(shape, SPACE, CostTarget.model_validate(shared | {"workload": workload}))
    return dataclasses.replace(results, costs=dict.fromkeys(results.costs, table))


def test_costs_have_a_line_for_each_kind_of_layer(mixed):
    costs = tables.costs(mixed).query("target == 'h100'")
    attention = costs.query("subblock == 'attention' and variant == 'parent'")
    assert attention.layers.tolist() == ["0 2", "1 3"] and (attention.runtime_relative_to_parent == 1).all()
    local, whole = attention.runtime_ms
    assert local < whole
    heads = costs.query("subblock == 'attention' and variant == 'kv1'").set_index("layers")
    expected = heads.runtime_ms / [local, whole]
    assert heads.runtime_relative_to_parent.tolist() == pytest.approx(expected.tolist())
    assert costs.query("subblock == 'non_block'").runtime_relative_to_parent.isna().all()


def test_layers_have_the_costs_of_their_kind(mixed, results):
    assert mixed.variants("attention") == results.variants("attention")
    (_, child) = tables.children(mixed).query("target != 'cpu'").head(2).to_dict("records")
    blocks = mixed.children["h100"]["children"]["mip"]["blocks"]
    count = [child_cost(mixed.costs["h100"], chosen)["parameters"] for chosen in (blocks, ["parent+parent"] * 4)]
    assert child["parameters_share"] == count[0] / count[1]
    names = [name for run in runs(mixed) if run.experiment == "puzzle/costs" for name in run.metrics]
    assert "attention.parent layers 0 2/runtime_ms" in names and "attention.parent layers 1 3/runtime_ms" in names
    assert len(names) == 2 * 6 * len(mixed.costs["h100"])
    figure = choice_figures.layer_costs(mixed)
    (stairs,) = [patch for patch in figure.axes[0].patches if isinstance(patch, StepPatch)]
    cost = [mixed.cost("h100", layer).runtime_ms for layer in range(4)]
    shares = [c["attention", "parent"] / (c["attention", "parent"] + c["ffn", "parent"]) for c in cost]
    assert stairs.get_data().values == pytest.approx(shares) and shares[0] < shares[1]


def test_a_child_that_is_the_parent_has_no_ratio(results):
    frontier = copy.deepcopy(results.frontier)
    points = [point for point in frontier["cpu"]["points"] if "measured" in point]
    points[0]["value"] = points[0]["measured"]["kl_div"] = 0.0
    said = [
        s for s in words.findings(dataclasses.replace(results, frontier=frontier)) if "times what was predicted" in s
    ]
    ratios = [point["measured"]["kl_div"] / point["value"] for point in points[1:]]
    assert f"is {min(ratios):.2f} to {max(ratios):.2f} times" in said[1]


def changed(results, target, method, state, group, **metrics):
    evaluation = copy.deepcopy(results.evaluation)
    evaluation[target, method]["states"][state][group] |= metrics
    return dataclasses.replace(results, evaluation=evaluation)


def test_a_better_baseline_is_said_with_the_reason(results):
    ours = results.states("cpu", "mip")
    better = changed(
        results, "cpu", "greedy", "assembled", "in_domain", kl_div=0.5 * ours["assembled"]["in_domain"]["kl_div"]
    )
    said = [s for s in words.findings(better) if s.startswith("cpu, assembled, in-domain")]
    assert len(said) == 1 and "child of greedy has a lower KL than that of MIP" in said[0]
    assert "The search predicted the other order" in said[0]
    assert sum("no baseline" in s for s in words.findings(better)) == 1  # of the other target


def test_a_baseline_that_heals_better_is_said(results):
    ours = results.states("cpu", "mip")
    better = changed(
        results, "cpu", "random", "equal", "out_of_domain", kl_div=0.1 * ours["equal"]["out_of_domain"]["kl_div"]
    )
    (said,) = [s for s in words.findings(better) if s.startswith("cpu, healed equally")]
    assert "other way round" in said


def test_a_difference_within_the_error_is_said(results):
    kl = results.states("cpu", "mip")["equal"]["in_domain"]["kl_div"]
    close = changed(results, "cpu", "random", "equal", "in_domain", kl_div=0.99 * kl, kl_div_se=kl)
    (said,) = [s for s in words.findings(close) if s.startswith("cpu, healed equally")]
    assert "less than 2 of its standard errors" in said


def test_a_prediction_outside_the_goal_is_said(results):
    speed = copy.deepcopy(results.speed)
    speed["served"]["cpu"]["models"]["cpu"]["speedup_error"]["decode"] = -0.2
    said = words.findings(dataclasses.replace(results, speed=speed))
    assert any("an error of -20 %, outside the 15 %" in sentence for sentence in said)


def test_what_was_taken_back_is_said(results):
    assert not any("taken back" in sentence for sentence in words.findings(results))
    worse = {"cpu": {"fits": [], "validation": {"before": 0.04, "after": 0.05, "kept": 0.04, "share": 0.0}}}
    said = words.findings(dataclasses.replace(results, refits=worse))
    (sentence,) = [sentence for sentence in said if "taken back" in sentence]
    assert sentence.startswith("cpu: the refit did not lower the child's KL on validation text, 0.040 before and 0.050")


def test_other_tables(results):
    assert len(tables.frontier(results)) == 2 * 4 * 5
    measured = tables.frontier(results).dropna(subset="measured_kl_div")
    assert set(measured.method) == {"mip"} and len(measured) == 8
    costs = tables.costs(results).set_index(["target", "subblock", "variant"]).runtime_relative_to_parent
    assert (
        costs["cpu", "ffn", "parent"] == 1
        and 0 < costs["cpu", "ffn", "ffn50"] < 1 == costs["h100", "attention", "parent"]
    )
    library = tables.library(results)
    assert len(library) == 4 * 8 and (library.least_squares_per_token.dropna() < library.paper_per_token.max()).all()
    assert set(tables.evaluation(results).state) == {"assembled", "refitted", "equal", "full"}


def test_metrics_are_plain_numbers(results):
    metrics = tables.metrics(results)
    assert set(metrics) == {"parent", "h100", "cpu", "scores", "frontier"}
    assert set(metrics["cpu"]) == set(results.methods)
    assert all(math.isfinite(value) for value in metrics["cpu"]["mip"].values())
    assert metrics["scores"]["3"]["ffn"]["linear"] == results.scores[3]["ffn"]["linear"]["kl_div"]


def test_the_largest_error_of_a_prediction_is_a_share_of_it(results):
    predictions = tables.metrics(results)["frontier"]
    assert set(predictions) == set(results.targets)
    points = dict(predictions["cpu"]["mip"])
    largest = points.pop("largest_error")
    assert len(points) == 4
    errors = [abs(point["kl_div"] - point["predicted_kl"]) / point["predicted_kl"] for point in points.values()]
    assert largest == pytest.approx(max(errors)) and largest > 0


def test_the_lead_over_a_method_has_an_interval_over_documents(results):
    numbers = tables.metrics(results)["cpu"]
    lead = numbers["greedy"]["equal_in_domain_kept_ratio"]
    ratio = numbers["mip"]["equal_in_domain_kl_div"] / numbers["greedy"]["equal_in_domain_kl_div"]
    assert lead["value"] == pytest.approx(ratio) and lead["low"] <= lead["value"] <= lead["high"]
    assert "equal_in_domain_kept_ratio" not in numbers["mip"]
    assert "by_window" not in tables.evaluation(results)
