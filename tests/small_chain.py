"""The main chain up to the search, on a tiny parent: what the studies around it begin with."""

from tessera.common import files
from tessera.common.params import check
from tessera.puzzle.costs.params import CostTarget
from tessera.puzzle.costs.tables import of_target
from tessera.puzzle.models import architecture as architectures
from tessera.puzzle.models.space import Space
from tessera.puzzle.stages import activations, library_part, scores_part, search_target

OPTIMISER = {"batch_windows": 2, "learning_rate": 1e-3}
TARGET = {
    "source": "measured",
    "hardware": "cpu",
    "dtype": "float32",
    "workload": {"batch": 1, "prefill": 8, "decode": 2},
    "threads": 1,
    "repeats": 3,
}
PARAMS = {
    "seed": 3,
    "compute": {"device": "cpu", "dtype": "float32"},
    "space": {
        "attention": {"kv1": {"kind": "gqa", "kv_heads": 1}, "no_op": {"kind": "no_op"}},
        "ffn": {"ffn50": {"kind": "gated", "width": 0.5}, "linear": {"kind": "linear"}},
    },
    "calibration": {"tokens": 300, "window": 20, "shards": 1},
    "valid_windows": 4,  # what the rule of activations takes out of library
    "library": {
        "jobs": 1,
        "initialisation": "least_squares",
        "selection": "reconstruction",
        "loss": "per_token",
        "ridge": 1e-4,
        "valid_windows": 4,
        "distillation": OPTIMISER | {"tokens": 0},
    },
    "scores": {"jobs": 1, "windows": 5, "window": 19},
    "heal": {
        "cosine": 1.0,
        "kl": 1.0,
        "lm": 0.0,
        "train": "blocks",
        "checkpoint_steps": 2,
        "equal": OPTIMISER | {"tokens": 120},
        "full": OPTIMISER | {"tokens": 240},
    },
    "search": {
        "objective": "metrics.kl_div",
        "speedups": [1.2],
        "child_speedup": 1.2,
        "methods": ["mip"],
        "windows": 5,
    },
}
#: What the evaluation of children reads besides.
EVALUATION = {
    "evaluate": {"windows": 2, "window": 19},
    "data": {
        "parent": "directory:somewhere",
        "text": {
            "sources": {"wiki_leads": {"characters": None}, "speeches": {"characters": None}},
            "out_of_domain": {"owt": {"characters": None}, "wikipedia_ood": {"characters": None}},
            "min_characters": 1,
            "min_turns": 1,
            "first_year": 1900,
            "test_percent": 5,
            "valid_percent": 5,
        },
        "tokens": {"ngram": 13, "separator": None},
    },
}


def of(stage, values):
    """The parameters of one stage, from all values."""
    return check(stage.Params, {name: values[name] for name in stage.Params.model_fields})


def make(out, parent, tokens, values=PARAMS):
    """Write the block library, scores, roofline costs and the search of the target `here` into a directory."""
    activations.main(of(activations, values), 0, parent, tokens, out / "activations")
    library_part.main(of(library_part, values), 0, parent, [out / "activations"], out / "library")
    scores_part.main(of(scores_part, values), 0, parent, tokens, [out / "library"], out / "scores.json")
    costs = out / "costs/here.parquet"
    about = {"source": "roofline", "hardware": "h100-sxm", "dtype": "bfloat16", "workload": TARGET["workload"]}
    space = Space.model_validate(values["space"])
    files.write_parquet(costs, of_target(architectures.read(parent), space, CostTarget.model_validate(about)))
    made = {
        name: out / "search/here" / f"{name}.json" for name in ("library", "measurement_info", "frontier", "children")
    }
    search_target.main(
        of(search_target, values), "here", [out / "scores.json"], costs, **made,
        frontier_table=out / "search/here/frontier.csv",
    )  # fmt: skip
