"""Sensitivity of the search, and the best batch of a service."""

import dataclasses
import json

import numpy as np
import pytest
from small_libraries import SCORE
from typer.testing import CliRunner

from tessera.common import files
from tessera.puzzle import search
from tessera.puzzle.costs import lookup
from tessera.puzzle.costs.params import CostTarget, Workload
from tessera.puzzle.costs.tables import of_target
from tessera.puzzle.model_cli import app
from tessera.puzzle.models.architecture import from_config
from tessera.puzzle.models.space import FFN, Attention, Space
from tessera.puzzle.search import best_batch, block_library, budgets
from tessera.puzzle.search.best_batch import Service
from tessera.puzzle.search.block_library import NON_BLOCK
from tessera.puzzle.studies.sensitivity import resample

CONFIG = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "vocab_size": 512}
CONFIG |= {"num_key_value_heads": 2, "intermediate_size": 192, "tie_word_embeddings": True}
SPACE = Space(attention={"no_op": Attention(kind="no_op")}, ffn={"half": FFN(kind="gated", width=0.5)})


def scores(se=0.1):
    """Scores of four layers, KL in nats a token, with standard errors of a share of them."""

    def metrics(kl):
        return {"kl_div": kl, "kl_div_se": se * kl}

    return [
        {
            "attention": {"parent": {"kl_div": 0.0, "kl_div_se": 0.0}, "no_op": metrics(0.02 * (layer + 1))},
            "ffn": {"half": metrics(0.05 / (layer + 1))},
        }
        for layer in range(4)
    ]


def table(batch, source="roofline"):
    workload = Workload.model_validate({"batch": batch, "prefill": 64, "decode": 32})
    target = CostTarget(source=source, hardware="h100-sxm", dtype="bfloat16", workload=workload)
    return of_target(from_config(CONFIG), SPACE, target)


def generators(n):
    return [np.random.default_rng(i) for i in range(n)]


def test_draws_are_normal_with_the_scores_standard_errors():
    found = [resample.drawn(scores(), "kl_div", one)[1]["attention"]["no_op"]["kl_div"] for one in generators(2000)]
    assert np.mean(found) == pytest.approx(0.04, abs=4 * 0.004 / 2000**0.5)
    assert np.std(found) == pytest.approx(0.004, rel=0.08)
    assert resample.drawn(scores(), "kl_div", generators(1)[0])[0]["attention"]["parent"]["kl_div"] == 0
    bare = scores()
    bare[2]["ffn"]["half"]["kl_div_se"] = None  # of scores on a single document
    with pytest.raises(ValueError, match="layer 2, ffn 'half': no kl_div_se; scores need standard errors"):
        resample.drawn(bare, "kl_div", generators(1)[0])
    del bare[2]["ffn"]["half"]["kl_div_se"]
    with pytest.raises(ValueError, match="layer 2, ffn 'half': no kl_div_se; scores need standard errors"):
        resample.drawn(bare, "kl_div", generators(1)[0])


def test_exact_scores_change_nothing_and_noise_costs():
    [exact] = resample.sensitivity(scores(0), table(8), "kl_div", [1.3], generators(3))
    assert exact.regret == exact.optimism == [0, 0, 0] and not any(exact.changed_attention + exact.changed_ffn)
    [noisy] = resample.sensitivity(scores(1.0), table(8), "kl_div", [1.3], generators(40))
    assert min(noisy.regret) >= -1e-12 and max(noisy.regret) > 0
    assert np.mean(noisy.optimism) > 0  # what is chosen for its luck promises too much
    assert max(noisy.changed_attention) > 0 and noisy.value == exact.value
    with pytest.raises(ValueError, match=r"speed-up 1000: no child is that fast; the smallest feasible"):
        resample.sensitivity(scores(), table(8), "kl_div", [1000], generators(2))
    with pytest.raises(ValueError, match="composed pairs"):
        resample.sensitivity([one | {"block": {"a+b": {}}} for one in scores()], table(8), "kl_div", [1.1], [])


def test_service_budgets_are_of_the_whole_model():
    info = block_library.measurement_info(table(8))
    outside = info[NON_BLOCK]
    service = Service(memory_mib=100, latency_ms=50, first_token_ms=20, parameters=1e6)
    found = best_batch.limits(service, info)
    assert found["stats.memory_mib"] == 100 - outside["memory_mib"]
    assert found["stats.prefill_ms"] == 20 - outside["prefill_ms"]
    assert found["stats.parameters"] == 1e6 - outside["parameters"]
    fast = 1e3 * 8 * 32 / (outside["runtime_ms"] + 1.0)
    both = best_batch.limits(dataclasses.replace(service, throughput=fast), info)
    assert both[budgets.RUNTIME] == pytest.approx(1.0)  # tighter than the latency
    with pytest.raises(ValueError, match=r"memory_mib = 0\.001: embedding and head alone take"):
        best_batch.limits(Service(memory_mib=0.001), info)


def test_best_batch_is_the_best_of_all():
    tables = {batch: table(batch) for batch in (1, 8, 64)}
    whole = {b: lookup.child_cost(t, ["parent+parent"] * 4) for b, t in tables.items()}
    rate = {b: 1e3 * b * 32 / whole[b]["runtime_ms"] for b in tables}
    service = Service(throughput=1.15 * rate[8], memory_mib=1.05 * whole[8]["memory_mib"])
    best, words = best_batch.solve(scores(), tables, service)
    values = {}
    for batch, own in tables.items():
        info, lib = block_library.measurement_info(own), block_library.make(scores(), own)
        try:
            found = search.solve(lib, SCORE, best_batch.limits(service, info)).value
        except ValueError:
            continue
        values |= {} if found is None else {batch: found}
    assert best is not None and values and best.solution.value == min(values.values()) and best.batch in values
    assert best.costs["output_tokens_per_s"] >= service.throughput * (1 - 1e-9)
    assert best.costs["memory_mib"] <= service.memory_mib * (1 + 1e-9)
    assert set(words) == {1, 8, 64} and all(w.startswith("metrics.kl_div = ") for b, w in words.items() if b in values)
    none, words = best_batch.solve(scores(), tables, Service(throughput=1e12))
    assert none is None and len(words) == 3


def test_command_finds_the_best_batch(tmp_path):
    files.write_json(tmp_path / "scores.json", {str(i): one for i, one in enumerate(scores())})
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "space.json").write_text(SPACE.model_dump_json())
    given = [
        "--scores",
        tmp_path / "scores.json",
        "--config",
        tmp_path / "config.json",
        "--space",
        tmp_path / "space.json",
    ]
    given += [
        "--source",
        "roofline",
        "--batches",
        "1,8",
        "--prefill",
        64,
        "--decode",
        32,
        "--out",
        tmp_path / "out.json",
    ]

    def call(*arguments):
        return CliRunner().invoke(app, ["serve", *map(str, [*given, *arguments])])

    done = call("--latency-ms", 0.08)
    assert done.exit_code == 0, done.output
    written = files.read_json(tmp_path / "out.json")
    assert written["batch"] in (1, 8) and written["costs"]["runtime_ms"] <= 0.08
    refused = call("--throughput", 1e12)
    assert refused.exit_code == 1 and "no batch has a child within the budgets" in refused.output
    unknown = call("--hardware", "b200")
    assert unknown.exit_code == 1
    expected = "h100-sxm, h200-sxm, a100-sxm"
    assert unknown.output == f"error: options: hardware is 'b200'; with source roofline, expected one of {expected}\n"
    negative = call("--prefill", -1)
    assert negative.output == "error: options: workload.prefill = -1; must be greater than or equal to 1\n"
    wrong = call("--batches", "1,x")
    assert wrong.exit_code == 1 and "'1,x'; expected comma-separated whole numbers" in wrong.output
