"""Runs for MLflow."""

from tessera import params
from tessera.puzzle.report import runs as puzzle_runs


def test_one_run_a_layer_table_point_and_healing(found, repository):
    study = params.load(repository / "params.yaml").puzzle
    runs = dict(puzzle_runs.records(found, study, seed=3))
    of = {rule: [run for place, run in runs.items() if place.startswith(f"{rule}/")] for rule in
          ("puzzle_library", "puzzle_costs", "puzzle_frontier", "puzzle_child")}  # fmt: skip
    assert {rule: len(some) for rule, some in of.items()} == {
        "puzzle_library": 4 * 2,
        "puzzle_costs": 2,
        "puzzle_frontier": 2 * 4 * 5,
        "puzzle_child": 2 * (5 + 1),
    }
    full = runs["puzzle_child/target=cpu-method=mip-schedule=full"]
    curve = found.curves["cpu", "full"]
    assert full.history["healing/kl_div"] == list(zip(curve["tokens"], curve["kl_div"], strict=True))
    assert full.name == "puzzle_child/target=cpu/method=mip/schedule=full" and full.experiment == "puzzle/child"
    assert full.tags["seed"] == "3" and full.tags["snakemake.rule"] == "puzzle_child"
    assert "full_in_domain_kl_div" in full.metrics and "cpu_memory_mib" in full.metrics
    equal = runs["puzzle_child/target=cpu-method=mip-schedule=equal"]
    assert "full_in_domain_kl_div" not in equal.metrics and "equal_in_domain_kl_div" in equal.metrics
    costs = found.children["cpu"]["children"]["mip"]["costs"]
    assert equal.metrics["blocks_memory_mib"] == full.metrics["blocks_memory_mib"] == costs["stats.memory_mib"]
    points = [p["costs"]["stats.memory_mib"] for one in found.frontier.values() for p in one["points"] if p["blocks"]]
    assert sorted(points) == sorted(
        run.metrics["blocks_memory_mib"] for run in of["puzzle_frontier"] if "blocks_memory_mib" in run.metrics
    )
    layer = runs["puzzle_library/layer=2-subblock=ffn"]
    assert "ffn50/loss" in layer.history and "linear/least_squares/per_token" in layer.metrics
