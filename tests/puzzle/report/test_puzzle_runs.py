"""Runs for MLflow."""

from collections import Counter

from tessera.puzzle.report.runs import runs


def test_one_run_per_layer_table_point_and_healing(results):
    records = {(record.experiment, record.name): record for record in runs(results)}
    assert Counter(experiment for experiment, _ in records) == {
        "puzzle/library": 4 * 2,
        "puzzle/costs": 2,
        "puzzle/frontier": 2 * 4 * 5,
        "puzzle/child": 2 * (5 + 1),
    }
    full = records["puzzle/child", "cpu mip full"]
    curve = results.curves["cpu", "full"]
    assert full.history["healing/kl_div"] == list(zip(curve["tokens"], curve["kl_div"], strict=True))
    assert full.tags["seed"] == str(results.seed) and full.job == "puzzle_heal_full/cpu"
    assert "full_in_domain_kl_div" in full.metrics and "cpu_memory_mib" in full.metrics
    equal = records["puzzle/child", "cpu mip equal"]
    assert equal.job == "puzzle_heal/cpu/mip"
    assert "full_in_domain_kl_div" not in equal.metrics and "equal_in_domain_kl_div" in equal.metrics
    costs = results.children["cpu"]["children"]["mip"]["costs"]
    assert equal.metrics["blocks_memory_mib"] == full.metrics["blocks_memory_mib"] == costs["stats.memory_mib"]
    layer = records["puzzle/library", "layer 3 ffn"]
    assert layer.job == f"puzzle_library_part/{3 % results.params.library.jobs}"
    assert "ffn50/loss" in layer.history and "linear/least_squares/per_token" in layer.metrics


def test_points_have_the_memory_of_their_choice(results):
    points = [p["costs"]["stats.memory_mib"] for one in results.frontier.values() for p in one["points"] if p["blocks"]]
    frontier = [record.metrics for record in runs(results) if record.experiment == "puzzle/frontier"]
    assert sorted(points) == sorted(
        metrics["blocks_memory_mib"] for metrics in frontier if "blocks_memory_mib" in metrics
    )
