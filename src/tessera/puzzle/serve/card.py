"""The model card of a child: what it is, what it costs and scores, what it learned from, and what can load it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tessera.common.intervals import known, plus_minus
from tessera.puzzle.models import variants
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.serve import vllm
from tessera.puzzle.serve.gguf_layouts import blocks_of, config_of

PAPER = "https://arxiv.org/abs/2411.19146"
SOURCE_WORDS = {
    "measured": "measured on",
    "llama.cpp": "measured on",
    "kernel-database": "summed from NVIDIA's kernel timings on",
    "roofline": "bounded by the datasheet of",
}


@dataclass(frozen=True)
class Facts:
    """What a card is made of.

    search is the child's row of a target's children.json, info the measurement_info beside it. scores are evaluations
    by domain, as puzzle_evaluate writes them. origin is the names of the files that the parent came in. served is what
    was measured of all children, by device and workload. sources holds (text, package, licence) rows. gguf says what
    file there is, or why there is none.
    """

    name: str
    parent: str
    license: str
    dtype: str
    model: LanguageModel
    parameters: int
    target: str
    search: Mapping[str, Any]
    info: Mapping[str, Any]
    scores: Mapping[str, Mapping[str, float]]
    origin: Sequence[str]
    served: Sequence[Mapping[str, Any]]
    sources: Sequence[tuple[str, str, str]]
    training_tokens: int
    gguf: str


def card(facts: Facts) -> str:
    """The card as Markdown with the front matter that model hubs read."""
    parts = [_front(facts), _what(facts), _layers(facts), _costs(facts), _scores(facts), _data(facts), _loaders(facts)]
    return "\n\n".join(parts) + "\n"


def _front(facts: Facts) -> str:
    lines = ["---", f"license: {facts.license}", f"base_model: {facts.parent}", "library_name: transformers"]
    lines += ["pipeline_tag: text-generation", "tags: [puzzle, nas, distillation, nemotron-nas]", "---"]
    return "\n".join(lines)


def _what(facts: Facts) -> str:
    return (
        f"# {facts.name}\n\n"
        f"A child of {facts.parent}, found by a search over blocks for one hardware and workload and healed by\n"
        f"distillation from the parent ([Puzzle]({PAPER})). {facts.parameters:,} parameters in {facts.dtype}, "
        f"{len(facts.model.layers)} layers."
    )


def _layers(facts: Facts) -> str:
    config = config_of(facts.model)
    counts = Counter(_layer(block, config) for block in blocks_of(facts.model))
    rows = ["## Layers", "", "| attention | FFN | layers |", "|---|---|--:|"]
    rows += [
        f"| {attention} | {ffn} | {n} |" for (attention, ffn), n in sorted(counts.items(), key=lambda c: (-c[1], c[0]))
    ]
    return "\n".join(rows)


def _layer(block: Mapping[str, Mapping[str, Any]], config: Any) -> tuple[str, str]:
    """Attention and FFN of a layer in words."""
    names = {"linear": "linear map", "no_op": "none"}
    words = []
    for place, describe in (("attention", _attention), ("ffn", _ffn)):
        part = block[place]
        text = names.get(part.get("kind", "own")) or describe(part, config)
        words.append(text if part else f"{text} (as the parent)")
    return words[0], words[1]


def _attention(part: Mapping[str, Any], config: Any) -> str:
    heads, kv_heads = (
        part.get("config", {}).get(key) or getattr(config, key, None) or config.num_attention_heads
        for key in ("num_attention_heads", "num_key_value_heads")
    )
    window = f", a window of {part['window']} tokens" if part.get("window") else ""
    return f"{heads} query and {kv_heads} KV heads{window}"


def _ffn(part: Mapping[str, Any], config: Any) -> str:
    changes = part.get("config", {})
    known = [key for key in (*variants.WIDTHS, *variants.EXPERTS, *variants.ACTIVE) if hasattr(config, key)]
    sizes = {key: changes.get(key, getattr(config, key)) for key in known}
    channels = next((sizes[key] for key in variants.WIDTHS if key in sizes), None)
    experts = next((sizes[key] for key in variants.EXPERTS if key in sizes), None)
    if not experts:
        return f"{channels} channels"
    active = next(sizes[key] for key in variants.ACTIVE if key in sizes)
    return f"{experts} experts of {channels} channels, {active} active"


def _costs(facts: Facts) -> str:
    info, speed, costs = facts.info, facts.search["speed"], facts.search["costs"]
    where = f"{SOURCE_WORDS[info['source']]} {info['hardware']} ({info['software']}, {info['dtype']})"
    rows = [
        f"## Costs ({facts.target})",
        "",
        f"Predicted, {where}: batch {info['batch']}, {info['prefill']} tokens read and {info['decode']} written.",
        "",
        "| | value |",
        "|---|--:|",
        f"| speed-up over the parent, blocks | {speed['blocks_speedup']:.3f} |",
        f"| speed-up over the parent, whole model | {speed['model_speedup']:.3f} |",
        f"| all tokens a second | {speed['model_all_tokens_per_s']:.4g} |",
        f"| output tokens a second | {speed['model_output_tokens_per_s']:.4g} |",
        f"| KV cache of the workload, MiB | {costs['stats.kv_cache_mib']:.4g} |",
    ]
    measured = (served for served in facts.served if facts.target in served["models"])
    return "\n".join([*rows, *(line for served in measured for line in _measured(facts.target, served))])


def _measured(target: str, served: Mapping[str, Any]) -> list[str]:
    """What was measured of the child on one device."""
    work, child, parent = served["workload"], served["models"][target], served["models"]["parent"]
    speedups = [
        f"{phase} {child['speedup'][phase]:.2f}" for phase in ("prefill", "decode") if phase in child["speedup"]
    ]
    mib, parents = (model["memory"]["model_mib"] for model in (child, parent))
    return [
        "",
        f"Measured, whole model, on {served['hardware']} ({served['software']}, {served['dtype']}), batch "
        f"{work['batch']}, {work['prefill']} tokens read and {work['decode']} written: {' and '.join(speedups)} times "
        f"as fast as the parent, in {mib:.0f} MiB (parent: {parents:.0f}).",
    ]


def _scores(facts: Facts) -> str:
    rows = [
        "## Scores",
        "",
        "Against the parent on test text, by domain; standard errors by document. Before healing, the search",
        f"predicted a KL of {facts.search['value']:.3f} nats a token.",
        "",
        "| domain | KL to the parent, nats a token | same first token, % | perplexity | parent's perplexity |",
        "|---|--:|--:|--:|--:|",
    ]
    for domain, metrics in facts.scores.items():
        kl = plus_minus(metrics["kl_div"], metrics["kl_div_se"])
        top = plus_minus(100 * metrics["top1"], 100 * known(metrics["top1_se"]), ".1f")
        rows.append(f"| {domain} | {kl} | {top} | {metrics['perplexity']:.1f} | {metrics['parent_perplexity']:.1f} |")
    return "\n".join(rows)


def _data(facts: Facts) -> str:
    rows = [
        "## Data and licence",
        "",
        f"Healed on {facts.training_tokens:,} tokens, drawn from the training split of:",
        "",
        "| text | package | licence |",
        "|---|---|---|",
    ]
    rows += [f"| {text} | {package} | {license} |" for text, package, license in facts.sources]
    origin = f" The parent came in {', '.join(facts.origin)}." if facts.origin else ""
    return "\n".join(
        [*rows, "", f"The weights are a derivative of the parent's and under its licence, {facts.license}.{origin}"]
    )


def _loaders(facts: Facts) -> str:
    return "\n".join(
        [
            "## What can load it",
            "",
            "* transformers, with this directory's own code:",
            "  `AutoModelForCausalLM.from_pretrained(directory, trust_remote_code=True)`.",
            f"* llama.cpp: {facts.gguf}",
            f"* vLLM: {vllm.words(facts.model)}",
            "* transformers alone, and servers that know Llama but not nemotron-nas, cannot: its layers differ.",
        ]
    )


def gguf_words(checked: Mapping[str, Any], file: str) -> str:
    """What a card says of a GGUF file of this child; checked is what gguf_export.verify returned."""
    kinds = ", ".join(f"{count} {name}" for name, count in checked["types"].items())
    words = (
        f"`{file}`, architecture `{checked['architecture']}`, {checked['layers']} layers as llama.cpp counts them, "
        f"matrices {kinds}; values and metadata were checked by reading it back."
    )
    if checked["padding"]:
        layers = ", ".join(f"{i} ({' '.join(parts)})" for i, parts in checked["padding"].items())
        words += (
            f" llama.cpp cannot leave out everything that this child does: zeros that add nothing stand in its layers "
            f"{layers}."
        )
    return words
