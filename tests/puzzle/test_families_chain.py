"""Families of tiny models, each through every stage of the main chain, from its directory to an exported child."""

import family_chain
import pandas as pd
import pytest
import torch
from family_chain import METHOD, SCHEDULES, TARGETS

from tessera.common import files
from tessera.puzzle.models import loading
from tessera.puzzle.models.space import compose, decompose
from tessera.puzzle.report import REPORT

ATTENTION = {
    "kv1": {"kind": "gqa", "kv_heads": 1},
    "window": {"kind": "gqa", "window": 5},
    "linear": {"kind": "linear"},
    "no_op": {"kind": "no_op"},
}
FFN = {"ffn50": {"kind": "gated", "width": 0.5}, "linear": {"kind": "linear"}, "no_op": {"kind": "no_op"}}
EXPERTS = {"experts": {"kind": "gated", "experts": 0.5}, "active1": {"kind": "gated", "active": 1}}
LOCAL = [f"{kind}_attention" for kind in ("sliding", "full", "sliding")]
#: Variants that a GGUF file cannot hold, or that would take the place of all attention, which it must have.
NO_GGUF = ["window", "linear"]
#: What sets a family apart, as changes of its configuration; and the variants above that its space does not have.
FAST = {
    "llama": ({"tie_word_embeddings": True}, NO_GGUF),
    "gemma3_text": ({"num_key_value_heads": 1, "layer_types": LOCAL}, ["kv1"]),
    "qwen3_moe": ({}, []),
    "glm4": ({"partial_rotary_factor": 0.5}, []),
}
SLOW = {
    "qwen2": ({"sliding_window": None}, NO_GGUF),
    "qwen3": ({}, []),
    "mistral": ({"sliding_window": 6}, []),
    "phi3": ({}, []),
    "granite": ({"residual_multiplier": 0.5, "embedding_multiplier": 2.0, "logits_scaling": 2.0}, []),
    "olmo2": ({}, []),
    "nemotron": ({}, []),
    "stablelm": ({}, []),
    "smollm3": ({"no_rope_layers": [1, 0, 1]}, []),
    "gemma2": ({"layer_types": LOCAL, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0}, []),
    "mixtral": ({"sliding_window": None}, []),
    "gpt_oss": ({"layer_types": LOCAL}, []),
    "deepseek_v3": ({"num_key_value_heads": 4}, ["kv1", "ffn50"]),
}
MIXTURES = ("qwen3_moe", "mixtral", "gpt_oss", "deepseek_v3")
#: Families whose children llama.cpp can compute.
LLAMA_SHAPED = ("llama", "qwen2")
#: Families for which all figures are drawn, which takes longer than the rest of the chain.
DRAWN = ("gemma2", "gpt_oss")


@pytest.fixture(scope="module", params=[*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def family(request):
    return request.param


@pytest.fixture(scope="module")
def space(family):
    """The variants of a family."""
    _, without = (FAST | SLOW)[family]
    ffn = FFN | (EXPERTS if family in MIXTURES else {})
    return {
        subblock: {name: variant for name, variant in named.items() if name not in without}
        for subblock, named in (("attention", ATTENTION), ("ffn", ffn))
    }


@pytest.fixture(scope="module")
def chain(family, space, tmp_path_factory):
    changes, _ = (FAST | SLOW)[family]
    figures = REPORT.figures if family in DRAWN else ("choices", "layer_costs")
    with pytest.MonkeyPatch.context() as patch:
        yield family_chain.run(tmp_path_factory.mktemp(family), family, changes, space, figures, patch)


def test_the_parent_does_not_differ_from_itself(chain):
    scores = chain.json("data/puzzle/scores/part_0.json")
    assert len(scores) == 3 and all(layer["attention"]["parent"]["kl_div"] == 0 for layer in scores.values())
    for target in TARGETS:
        point, _ = chain.json(f"data/puzzle/frontier/{target}.json")["points"]
        assert point["speedup"] == 1 and point["blocks"] == ["parent+parent"] * 3
        assert point["value"] == 0 and point["measured"]["kl_div"] == 0 and point["measured"]["top1"] == 1


def test_costs_are_in_the_order_of_the_variants(chain, space):
    for target in TARGETS:
        table = files.read_parquet(chain.out / f"data/puzzle/costs/{target}.parquet")
        for subblock, named in space.items():
            for _, kind in table[table.subblock == subblock].groupby("layers"):
                time, memory = (
                    dict(zip(kind.variant, kind[column], strict=True)) for column in ("runtime_ms", "memory_mib")
                )
                assert set(time) == {"parent", *named} and time.pop("no_op") == memory.pop("no_op") == 0
                # A CPU takes longer for the mask of a window than it saves on a few tokens.
                most = 2 * time["parent"] if target == "cpu" else time["parent"]
                assert 0 < time.pop("window", most) <= most
                assert all(0 < time[name] <= time["parent"] and memory[name] <= memory["parent"] for name in time)
                for name in time.keys() & {"kv1", "ffn50"}:
                    assert time[name] < time["parent"] and memory[name] < memory["parent"]


def test_the_search_keeps_its_budget(chain, space):
    for target in TARGETS:
        child = chain.json(f"data/puzzle/search/{target}/children.json")["children"][METHOD]
        # The child of least KL of several cosines' optima is not the first one's, of which optimality is proven.
        assert child["status"] in ("optimal", "heuristic") and child["bound"] <= child["value"] * (1 + 1e-6)
        assert child["speed"]["blocks_speedup"] >= 4 * (1 - 1e-9)
        assert child["costs"]["stats.runtime_ms"] <= child["runtime_budget_ms"] * (1 + 1e-9)
        known = {compose(a, f) for a in ("parent", *space["attention"]) for f in ("parent", *space["ffn"])}
        assert len(child["blocks"]) == 3 and set(child["blocks"]) <= known and child["value"] > 0


def test_healing_brings_children_closer_to_their_parent(chain):
    for target in TARGETS:
        states = chain.json(f"data/puzzle/evaluation/{target}-{METHOD}.json")["states"]
        assembled, refitted, full = (states[name]["in_domain"]["kl_div"] for name in ("assembled", "refitted", "full"))
        assert 0 < full < assembled and refitted > 0
        curve = chain.json(f"data/puzzle/curves/{target}/full.json")
        assert curve["tokens"] == [40 * step for step in range(1, 16)] and len(curve["kl_div"]) == 15


@torch.no_grad()
def test_healed_children_are_read_as_they_were_saved(chain):
    from transformers import AutoModelForCausalLM

    prompts = family_chain.prompts()
    for target in TARGETS:
        for schedule, place in zip(SCHEDULES, (f"healed/{target}/{METHOD}", f"children/{target}"), strict=True):
            assert torch.equal(loading.load(chain.out / "data/puzzle" / place)(prompts), chain.healed[target, schedule])
        export = chain.out / f"data/puzzle/export/{target}"
        network = AutoModelForCausalLM.from_pretrained(export, trust_remote_code=True).eval()
        torch.testing.assert_close(network(prompts).logits, chain.healed[target, "full"])
        options = {"do_sample": False, "max_new_tokens": 10, "pad_token_id": 0, "eos_token_id": None}
        cached, whole = (network.generate(prompts, use_cache=cache, **options) for cache in (True, False))
        assert cached.shape == (2, 20) and torch.equal(cached, whole)


def test_the_report_names_the_variants(chain, space):
    report = chain.out / "report"
    text = (report / "texts/results.md").read_text()
    assert all(f"**{target}**" in text for target in TARGETS) and "with interactions" in text
    costs, library = (pd.read_csv(report / f"tables/{name}.csv") for name in ("costs", "library"))
    for subblock, named in space.items():
        assert set(costs.variant[costs.subblock == subblock]) == {"parent", *named}
        for layer in range(3):
            assert set(library.variant[(library.subblock == subblock) & (library.layer == layer)]) == set(named)
    assert set(pd.read_csv(report / "tables/evaluation.csv").state) == {"assembled", "refitted", *SCHEDULES}
    drawn = (report / "figures/choices.svg").read_text()
    assert all(f">{name}</text>" in drawn or name in drawn for name in space["attention"])
    metrics = files.read_json(report / "metrics.json")
    assert metrics["h100"][METHOD]["full_in_domain_kl_div"] > 0 and (report / "runs.jsonl").stat().st_size


def test_children_are_exported_and_gguf_files_refused_in_words(chain, family):
    for target in TARGETS:
        export, blocks = chain.out / f"data/puzzle/export/{target}", chain.blocks(target)
        made = files.read_json(export / "export.json")
        assert f"source-puzzle-{target}" in (export / "README.md").read_text()
        has_attention = any(decompose(block)[0] != "no_op" for block in blocks)
        assert has_attention or target == "cpu"
        if family in LLAMA_SHAPED and has_attention:
            assert made["refusal"] is None and made["gguf"]["largest_error"] == 0 and list(export.glob("*.gguf"))
        else:
            assert made["gguf"] is None and "llama.cpp" in made["refusal"] and not list(export.glob("*.gguf"))
