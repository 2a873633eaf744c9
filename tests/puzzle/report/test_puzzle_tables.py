"""Tables and the sentences under them."""

import copy
import dataclasses
import math

import pytest

from tessera.puzzle.report import tables, words


def test_results_have_the_parent_and_every_child(results):
    table = tables.children(results).set_index(["target", "method"])
    assert list(table.index) == [("", "parent")] + [(t, m) for t in results.targets for m in results.methods]
    assert results.methods[0] == "mip" and set(results.targets) == {"h100", "cpu"}
    child = table.loc[("cpu", "mip")]
    assert child["blocks_speedup"] >= 1.3 > 1 and child["model_speedup"] < child["blocks_speedup"]
    assert child["assembled_in_domain_kl_div"] == pytest.approx(1.1 * child["predicted_kl"])
    assert child["full_in_domain_kl_div"] == pytest.approx(0.5 * child["assembled_in_domain_kl_div"])
    assert 0 < child["parameters_share"] < 1
    assert child["cpu_runtime_speedup_predicted"] == pytest.approx(results.speed["models"]["cpu"]["speedup"]["runtime"])
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


def test_how_well_sums_predict_is_said(results):
    said = [sentence for sentence in words.findings(results) if "times the sum of its scores" in sentence]
    assert [sentence.split(":")[0] for sentence in said] == ["h100", "cpu"]
    fastest = next(p for p in results.frontier["cpu"]["points"] if p["method"] == "mip" and p["speedup"] == 2)
    assert said[1].endswith(f"{fastest['measured']['kl_div'] / fastest['value']:.2f} times at 2x.")


def test_a_child_that_is_the_parent_has_no_ratio(results):
    frontier = copy.deepcopy(results.frontier)
    points = [point for point in frontier["cpu"]["points"] if "measured" in point]
    points[0]["value"] = points[0]["measured"]["kl_div"] = 0.0
    said = [s for s in words.findings(dataclasses.replace(results, frontier=frontier)) if "sum of its scores" in s]
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
    assert "do not add up" in said[0]
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
    speed["models"]["cpu"]["speedup_error"]["decode"] = -0.2
    said = words.findings(dataclasses.replace(results, speed=speed))
    assert any("an error of -20 %, outside the 15 %" in sentence for sentence in said)


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
    assert set(tables.evaluation(results).state) == {"assembled", "equal", "full"}


def test_metrics_are_plain_numbers(results):
    metrics = tables.metrics(results)
    assert set(metrics) == {"parent", "h100", "cpu", "scores"} and set(metrics["cpu"]) == set(results.methods)
    assert all(math.isfinite(value) for value in metrics["cpu"]["mip"].values())
    assert metrics["scores"]["3"]["ffn"]["linear"] == results.scores[3]["ffn"]["linear"]["kl_div"]


def test_the_lead_over_a_method_has_an_interval_over_documents(results):
    numbers = tables.metrics(results)["cpu"]
    lead = numbers["greedy"]["equal_in_domain_kept_ratio"]
    ratio = numbers["mip"]["equal_in_domain_kl_div"] / numbers["greedy"]["equal_in_domain_kl_div"]
    assert lead["value"] == pytest.approx(ratio) and lead["low"] <= lead["value"] <= lead["high"]
    assert "equal_in_domain_kept_ratio" not in numbers["mip"]
    assert "by_window" not in tables.evaluation(results)
