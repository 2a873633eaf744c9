"""The study's own stages, on a tiny parent, and its report on made-up results."""

import numpy as np
import pytest
import small_chain
import small_reports
import torch
from tiny_models import SHAPE

from tessera.common import files, randomness
from tessera.common.params import check
from tessera.data import tokens as text
from tessera.puzzle.models import loading
from tessera.puzzle.serve.generate import generate
from tessera.puzzle.studies.healing_curve import written
from tessera.puzzle.studies.healing_curve.params import HealingCurveParams
from tessera.puzzle.studies.healing_curve.report import REPORT
from tessera.puzzle.studies.healing_curve.report.results import read
from tessera.puzzle.studies.healing_curve.stages import report as puzzle_healing_curve_report
from tessera.puzzle.studies.healing_curve.stages import text as puzzle_healing_curve_text

CURVE = {
    "tokens": [40, 80, 160, 320],
    "texts": ["own", "written"],
    "written": {"prompt": 4, "batch": 5},
    "windows": 2,
    "draws": 50,
    "gpu": {"name": "A GPU", "tflops": 100.0, "utilisation": 0.5},
}
PARAMS = small_chain.PARAMS | {"healing_curve": CURVE}


def params(stage, **changes):
    return small_chain.of(stage, PARAMS | {"healing_curve": CURVE | changes})


def written_text(parent, stream, out, **changes):
    out.mkdir()
    streams = [out / "train.npy", out / "valid.npy"]
    stage = puzzle_healing_curve_text
    stage.main(params(stage, **changes), parent, stream, streams, [], out / "documents.parquet")
    return out


def test_the_parent_goes_on_with_beginnings_of_documents(parent, tokens, tmp_path):
    out = written_text(parent(), tokens, tmp_path / "text")
    stream, documents = text.load(out, "train")
    assert len(documents) == 16 and set(documents["source"]) == {written.SOURCE}  # 320 tokens in windows of 20
    pieces = np.stack([stream[offset : offset + 21] for offset in documents["offset"]])
    assert (stream[documents["offset"].to_numpy() + 21] == 0).all()  # the separator of the stream
    whole, own = text.load(tokens, "train")
    begins = {tuple(whole[offset : offset + 4]) for offset in own["offset"]}
    assert {tuple(piece[:4]) for piece in pieces} <= begins
    model = loading.load(parent())
    seed = randomness.seed(PARAMS["seed"], "puzzle", "healing_curve", "written", "0")
    after = generate(model, torch.from_numpy(pieces[:5, :4].astype(np.int64)), 17, 1.0, seed).numpy()
    assert (pieces[:5, 4:] == after).all()
    # Held-out text is that of people.
    assert (text.load(out, "valid")[0] == text.load(tokens, "valid")[0]).all()
    windows = text.windows(out, "train", 21, 16)
    assert sorted(map(tuple, windows.tokens)) == sorted(map(tuple, pieces))


def test_the_same_seed_writes_the_same_text_and_more_tokens_go_on_with_it(parent, tokens, tmp_path):
    first = written_text(parent(), tokens, tmp_path / "first")
    again = written_text(parent(), tokens, tmp_path / "again")
    assert (first / "train.npy").read_bytes() == (again / "train.npy").read_bytes()
    more = written_text(parent(), tokens, tmp_path / "more", tokens=[40, 80, 160, 480])
    stream, _ = text.load(first, "train")
    # The beginnings of the first rounds of documents, and whole batches, are the same.
    assert (text.load(more, "train")[0][: 15 * 22] == stream[: 15 * 22]).all()


def test_a_prompt_that_leaves_nothing_to_write_is_refused(parent, tokens, tmp_path):
    with pytest.raises(ValueError, match=r"written\.prompt = 21: a piece of text has 21 tokens; expected fewer"):
        written_text(parent(), tokens, tmp_path / "text", written={"prompt": 21})


def test_beginnings_are_drawn_without_repeats_as_long_as_they_last(tokens):
    stream, documents = text.load(tokens, "train")
    drawn = written.beginnings(stream, documents, 100, 8, 0)
    starts = {tuple(stream[offset : offset + 8]) for offset in documents["offset"]}
    assert set(map(tuple, drawn[:40])) == set(map(tuple, drawn[40:80])) == starts
    with pytest.raises(ValueError, match="no training document has 61 tokens, as many as"):
        written.beginnings(stream, documents, 1, 61, 0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tokens": [40, 80, 80, 160]}, r"tokens = \[40, 80, 80, 160\]; expected numbers above 0, each above the one"),
        ({"kept": [0.9, 1.0]}, r"kept has 1\.0; expected shares between 0 and 1"),
    ],
)
def test_wrong_parameters(changes, words):
    with pytest.raises(ValueError, match=words):
        check(HealingCurveParams, CURVE | changes)


def kl(target, kind, tokens):
    """Of a law with a floor of 0.05, but on the parent's text, where there is none."""
    return (0.05 if kind == "own" else 0.0) + {"h100": 1.0, "cpu": 2.0}[target] * tokens**-0.4


@pytest.fixture
def results_files(tmp_path):
    """Evaluations and losses of two targets and two texts; one healing was taken back."""
    evaluations, curves, factors = [], [], np.array([0.8, 1.0, 1.2, 1.0])
    for target in ("h100", "cpu"):
        for kind in CURVE["texts"]:
            states = {}
            for tokens in (1, *CURVE["tokens"]):
                value = kl(target, kind, tokens)
                domain = {"kl_div": value, "kl_div_se": 0.1 * value, "top1": 0.8, "top1_se": 0.01}
                domain |= {"perplexity": 20.0, "parent_perplexity": 18.0}
                domain["by_window"] = {"kl_div": (factors * value).tolist(), "document": [1, 1, 2, 3]}
                states["start" if tokens == 1 else f"healed-{tokens}"] = {"in_domain": domain}
            evaluations.append(tmp_path / f"evaluation/{target}/{kind}.json")
            files.write_json(evaluations[-1], {"states": states})
            for tokens in CURVE["tokens"]:
                curves.append(tmp_path / f"curves/{target}/{kind}/{tokens}.json")
                kept = (target, kind, tokens) != ("cpu", "own", 40)
                losses = {name: [1.0, 0.5] for name in ("kl_div", "cosine", "lm_loss")}
                validation = {"before": 1.0, "after": 0.9, "kept": 0.9, "share": float(kept)}
                files.write_json(curves[-1], losses | {"tokens": [20, 40], "validation": validation})
    config = tmp_path / "config.json"
    files.write_json(config, SHAPE | {"model_type": "llama"})
    return config, evaluations, curves


def test_the_report(results_files, tmp_path):
    named = small_reports.arguments(REPORT, tmp_path / "report")
    puzzle_healing_curve_report.main(params(puzzle_healing_curve_report), *results_files, **named)
    numbers = files.read_json(named["metrics"])
    own, mine = numbers["h100"]["own"], numbers["h100"]["written"]
    assert own["law"]["floor"]["value"] == pytest.approx(0.05, rel=0.02)
    assert mine["law"]["exponent"]["value"] == pytest.approx(0.4, rel=0.02)
    assert own["longest"]["error"] < 0.01 and own["start_kl_div"] == pytest.approx(1.05)
    # 0.9 of the probability is a KL of 0.105; 0.98 is below the floor.
    assert own["tokens"]["0.9"]["value"] == pytest.approx((1 / (0.10536 - 0.05)) ** 2.5, rel=0.05)
    assert own["tokens"]["0.98"]["value"] is None and own["tokens"]["0.98"]["reached"] < 0.5
    assert mine["tokens"]["0.98"]["value"] == pytest.approx(0.0202**-2.5, rel=0.1)
    assert own["tokens"]["0.9"]["low"] < own["tokens"]["0.9"]["value"] < own["tokens"]["0.9"]["high"]
    (words,) = [path.read_text() for path in named["texts"]]
    taken_back = next(line for line in words.splitlines() if line.startswith("| cpu | people's text"))
    assert taken_back.count("*") == 1 and "never" in words
    records = [line for line in named["runs"].read_text().splitlines() if line]
    assert len(records) == 16


def test_hours_of_a_gpu(results_files):
    results = read(check(HealingCurveParams, CURVE), 0, *results_files)
    weights = weights_of_a_token()
    assert results.flops_per_token == 8 * weights
    assert results.gpu_hours(1e9) == pytest.approx(1e9 * 8 * weights / (100e12 * 0.5) / 3600)


def weights_of_a_token():
    """Weights that a token meets in a parent of SHAPE: those of layers and head, not of the embedding and norms."""
    import transformers

    model = transformers.AutoModelForCausalLM.from_config(transformers.LlamaConfig(**SHAPE))
    layers = sum(p.numel() for p in model.model.layers.parameters())
    return layers + SHAPE["vocab_size"] * SHAPE["hidden_size"]
