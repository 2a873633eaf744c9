"""The overlay of the papers' sizes: it goes with the parameters, and its search space is built and scored whole."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tiny_models import SHAPE

from tessera import params
from tessera.common.params import Section
from tessera.puzzle.stages import activations
from tessera.puzzle.stages import library_part as puzzle_library
from tessera.puzzle.stages import scores_part as puzzle_scores


@pytest.fixture(scope="module")
def paper(repository: Path) -> params.Params:
    return params.load(repository / "params.yaml", repository / "params/paper.yaml")


@pytest.fixture(scope="module")
def eight_heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny parent with the head counts of Llama-3.1-70B's blocks, an eighth of the queries: 8 KV heads."""
    directory = tmp_path_factory.mktemp("parent")
    config = transformers.LlamaConfig(
        vocab_size=SHAPE["vocab_size"], hidden_size=64, intermediate_size=80, num_hidden_layers=2,
        num_attention_heads=16, num_key_value_heads=8, head_dim=4, tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(directory)
    return directory


def test_training_text_fits_its_pool(paper: params.Params) -> None:
    """Each budget of tokens is of whole batches of the calibration text, and no larger than it."""
    pool, window = paper.puzzle.calibration.tokens, paper.puzzle.calibration.window
    plans = {
        "library": paper.puzzle.library.distillation,
        "equal": paper.puzzle.heal.equal,
        "full": paper.puzzle.heal.full,
        "validity": paper.puzzle_studies.validity.healing,
        "ablations": paper.puzzle_studies.ablations.child.healing,
        "coupled": paper.puzzle_studies.coupled.distillation,
        "coupled children": paper.puzzle_studies.coupled.healing,
    }
    for name, plan in plans.items():
        assert plan.tokens <= pool, name
        assert plan.tokens >= plan.batch_windows * window, name


def test_the_space_at_its_smallest_size(paper: params.Params, eight_heads: Path, tokens: Path, tmp_path: Path) -> None:
    """The paper's 54 blocks a layer, and those with a window: all are made and scored, on two layers and few tokens."""
    space = paper.puzzle.space
    # The parent's own subblocks are variants as well, of the search.
    windows = [variant for variant in space.attention.values() if variant.window]
    assert (len(space.attention) - len(windows) + 1) * (len(space.ffn) + 1) == 54

    calibration = paper.puzzle.calibration.model_copy(update={"tokens": 300, "window": 20, "shards": 1})
    training = paper.puzzle.library.distillation.model_copy(update={"tokens": 160, "batch_windows": 2})
    library = paper.puzzle.library.model_copy(update={"jobs": 1, "valid_windows": 2, "distillation": training})
    scores = paper.puzzle.scores.model_copy(update={"jobs": 1, "windows": 2, "window": 19})

    values = {"space": space, "seed": 0, "calibration": calibration, "library": library, "scores": scores}
    values |= {"valid_windows": library.valid_windows, "compute": paper.puzzle.compute}

    def of(stage: Any) -> Section:
        return stage.Params(**{name: values[name] for name in stage.Params.model_fields})

    activations.main(of(activations), 0, eight_heads, tokens, tmp_path / "activations")
    puzzle_library.main(of(puzzle_library), 0, eight_heads, [tmp_path / "activations"], tmp_path / "library")
    found = tmp_path / "scores.json"
    puzzle_scores.main(of(puzzle_scores), 0, eight_heads, tokens, [tmp_path / "library"], found)
    scored = json.loads(found.read_text())
    for layer in ("0", "1"):
        assert set(scored[layer]["attention"]) == {*space.attention, "parent"}
        assert set(scored[layer]["ffn"]) == set(space.ffn)
        assert all(one["kl_div"] > 0 for name, one in scored[layer]["ffn"].items())
