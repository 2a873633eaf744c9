"""The overlay of another parent, Gemma 3 270M: its space, text and memory, by the parent's shape alone."""

from pathlib import Path

import pytest

from tessera import params
from tessera.puzzle.costs import memory
from tessera.puzzle.models import architecture, sizes
from tessera.puzzle.models.architecture import Architecture
from tessera.puzzle.params import PuzzleParams


@pytest.fixture(scope="module")
def puzzle(repository: Path) -> PuzzleParams:
    return params.load(repository / "params.yaml", repository / "params/gemma3.yaml").puzzle


@pytest.fixture(scope="module")
def gemma() -> Architecture:
    types = [*["sliding_attention"] * 5, "full_attention"] * 3
    config = {
        "model_type": "gemma3_text", "hidden_size": 640, "num_hidden_layers": 18, "num_attention_heads": 4,
        "num_key_value_heads": 1, "head_dim": 256, "intermediate_size": 2048, "vocab_size": 262144,
        "sliding_window": 512, "layer_types": types,
    }  # fmt: skip
    return architecture.from_config(config)


def test_every_layer_can_have_every_variant(puzzle: PuzzleParams, gemma: Architecture) -> None:
    puzzle.space.check(gemma)
    for layer in (0, 5):  # with a window, and without
        for variants in (puzzle.space.attentions(), puzzle.space.ffns()):
            counts = [memory.parameters(gemma, variant, layer).count for variant in variants.values()]
            assert max(counts) == counts[0] and min(counts) == 0


def test_windows_are_shorter_than_the_text_that_shows_what_they_cost(puzzle: PuzzleParams) -> None:
    windows = [variant.window for variant in puzzle.space.attention.values() if variant.window]
    assert windows and max(windows) <= min(puzzle.scores.window, puzzle.evaluate.window, puzzle.calibration.window) / 2


def test_training_fits_text_and_memory(puzzle: PuzzleParams, gemma: Architecture) -> None:
    plans = (puzzle.library.distillation, puzzle.heal.equal, puzzle.heal.full)
    assert all(puzzle.calibration.window <= plan.tokens <= puzzle.calibration.tokens for plan in plans)
    steps = sizes.steps(gemma, puzzle)
    assert len(steps) == 5 and all(step.memory < 8e9 for step in steps), steps
