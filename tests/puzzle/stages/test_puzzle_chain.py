"""The stages of the main chain, one after another, on a tiny parent and a tiny token stream."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import small_chain
import torch
from small_chain import OPTIMISER

from tessera.common import files, randomness
from tessera.data.tokens import loss_path
from tessera.puzzle import child
from tessera.puzzle.models import architecture, loading, memory
from tessera.puzzle.models.loading import BLOCKS
from tessera.puzzle.models.streaming import Streamed
from tessera.puzzle.stages import activations, frontier, refit
from tessera.puzzle.stages import evaluate_child as evaluate
from tessera.puzzle.stages import heal as puzzle_heal
from tessera.puzzle.stages import library_part as puzzle_library
from tessera.puzzle.stages import scores_part as scores
from tessera.puzzle.text import joined, read

BASE = small_chain.PARAMS
PARAMS = {
    **BASE,
    **small_chain.EVALUATION,
    "calibration": BASE["calibration"] | {"shards": 2},
    "library": BASE["library"] | {"jobs": 2, "distillation": OPTIMISER | {"tokens": 120}},
    "scores": BASE["scores"] | {"jobs": 2},
    "refit": {"tokens": 240, "valid_windows": 4},
}
CHOICE = ["kv1+parent", "no_op+ffn50", "parent+linear"]


def params(stage, **changes):
    """PARAMS as the parameters of one stage."""
    return small_chain.of(stage, PARAMS | changes)


def chain(parent, tokens, out):
    """Run all stages; the search between scores and children is a choice made here."""
    shards = [out / f"activations/{i}" for i in range(2)]
    for i, path in enumerate(shards):
        activations.main(params(activations), i, parent, tokens, path)
    library = [out / f"library/part_{i}" for i in range(2)]
    for i, path in enumerate(library):
        puzzle_library.main(params(puzzle_library), i, parent, shards, path)
    for i in range(2):
        scores.main(params(scores), i, parent, tokens, library, out / f"scores/part_{i}.json")
    search = out / "search/here"
    row = {"status": "optimal", "blocks": CHOICE, "method": "mip", "speedup": 1.3}
    infeasible = {"status": "infeasible", "blocks": [], "smallest_feasible": {"stats.runtime_ms": 1.0}}
    files.write_json(search / "children.json", {"children": {"mip": row, "greedy": infeasible}})
    points = [row, row | {"blocks": ["parent+parent"] * 3, "method": "greedy"}, infeasible | {"method": "mip"}]
    files.write_json(search / "frontier.json", {"target": "here", "points": points})
    made, chosen = out / "children", search / "children.json"
    refit.main(params(refit), "mip", parent, tokens, chosen, library, made / "refitted", out / "refits/here.json")
    for schedule, start in (("equal", None), ("full", made / "refitted")):
        puzzle_heal.main(
            params(puzzle_heal),
            "mip",
            schedule,
            parent,
            tokens,
            chosen,
            library,
            out / f"checkpoints/{schedule}.safetensors",
            made / schedule,
            out / f"curves/{schedule}.json",
            start,
        )
    evaluate.main(
        params(evaluate),
        "mip",
        parent,
        tokens,
        search / "children.json",
        library,
        [made / "refitted", made / "equal", made / "full"],
        ["refitted", "equal", "full"],
        out / "evaluation/here-mip.json",
    )
    frontier.main(
        params(frontier), ["mip"], parent, tokens, search / "frontier.json", library, out / "frontier/here.json"
    )


@pytest.fixture(scope="module")
def outputs(parent, tokens, tmp_path_factory):
    """Directories of two runs of the same chain."""
    made = [tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")]
    for out in made:
        chain(parent(), tokens, out)
    return made


@pytest.fixture
def out(outputs):
    return outputs[0]


def test_two_runs_write_the_same_bytes(outputs):
    first, second = ({p.relative_to(o): p.read_bytes() for p in o.rglob("*") if p.is_file()} for o in outputs)
    assert first.keys() == second.keys()
    assert [str(path) for path in first if first[path] != second[path]] == []
    assert not [path for path in first if path.parent.name == "checkpoints" or path.name.startswith(".")]


def test_activations_are_those_of_the_parent(out, parent, tokens):
    first, second = (np.load(out / f"activations/{i}/train/layer_0.npy") for i in range(2))
    assert first.dtype == np.float32 and first.shape == (8, 20, 32) and second.shape == (7, 20, 32)
    embedding = loading.load(parent()).network.get_input_embeddings().weight.detach().numpy()
    held_out = [np.load(out / f"activations/{i}/valid/layer_0.npy") for i in range(2)]
    assert [len(one) for one in held_out] == [2, 2]
    for split, windows in (("train", [first, second]), ("valid", held_out)):
        found = np.lib.stride_tricks.sliding_window_view(np.load(tokens / f"{split}.npy"), 20)
        for window in np.concatenate(windows):  # each is the embedding of some run of the split's text
            assert np.abs(embedding[found] - window).max((1, 2)).min() == 0
        assert sorted(p.name for p in (out / "activations/0" / split).iterdir()) == [f"layer_{i}.npy" for i in range(3)]


def test_library_has_every_layer_once(out):
    names = [[p.name for p in sorted((out / f"library/part_{i}").iterdir())] for i in range(2)]
    assert names == [
        ["layer_0.json", "layer_0.safetensors", "layer_2.json", "layer_2.safetensors"],
        ["layer_1.json", "layer_1.safetensors"],
    ]
    record = files.read_json(out / "library/part_1/layer_1.json")
    assert sorted(record) == ["attention.kv1", "attention.no_op", "ffn.ffn50", "ffn.linear"]
    assert record["ffn.linear"]["least_squares"]["per_token"] < record["ffn.linear"]["paper"]["per_token"]


def test_a_streamed_library_has_the_same_bytes(out, parent, tokens, tmp_path):
    """Its jobs have consecutive layers, and need no activations."""
    for i, layers in enumerate([[0, 1], [2]]):
        path = tmp_path / f"part_{i}"
        streamed = params(puzzle_library, library=PARAMS["library"] | {"stream": True})
        puzzle_library.main(streamed, i, parent(), [], path, tokens)
        assert {p.stem for p in path.iterdir()} == {f"layer_{layer}" for layer in layers}
        for file in path.iterdir():
            expected = out / f"library/part_{int(file.stem[-1]) % 2}" / file.name
            assert file.read_bytes() == expected.read_bytes()
    with pytest.raises(ValueError, match=r"library\.stream = true: the job needs --tokens"):
        puzzle_library.main(streamed, 0, parent(), [], tmp_path / "none")


def test_scores_of_a_parent_that_does_not_fit(out, parent, tokens, tmp_path, monkeypatch):
    needs = memory.scores(architecture.read(parent()), params(scores).space, 19)
    least = needs.ends + needs.layer + needs.variants + 6 * needs.state + needs.work
    read = []
    monkeypatch.setattr(Streamed, "_read", lambda *a, before=Streamed._read: read.append(a[1]) or before(*a))
    library = [out / f"library/part_{i}" for i in range(2)]
    for gib in (least / 2**30, None):
        few = params(scores, compute=PARAMS["compute"] | {"memory": gib})
        scores.main(few, 0, parent(), tokens, library, tmp_path / "part_0.json")
        assert (tmp_path / "part_0.json").read_bytes() == (out / "scores/part_0.json").read_bytes()
    assert read == [-1, 0, 1, 2, 0, 1, 2]  # the ends, and each layer for the variants of each of two
    with pytest.raises(ValueError, match=r"puzzle\.compute\.memory: scores need .* GiB for one layer"):
        few = params(scores, compute=PARAMS["compute"] | {"memory": 0.9 * least / 2**30})
        scores.main(few, 0, parent(), tokens, library, tmp_path / "part_0.json")


def test_scores_have_every_variant_and_the_parent(out):
    found = [files.read_json(out / f"scores/part_{i}.json") for i in range(2)]
    assert [sorted(part) for part in found] == [["0", "2"], ["1"]]
    for layer in (found[0] | found[1]).values():
        assert sorted(layer["attention"]) == ["kv1", "no_op", "parent"]
        assert sorted(layer["ffn"]) == ["ffn50", "linear"]
        for metrics in [*layer["attention"].values(), *layer["ffn"].values()]:
            assert set(metrics) == {f"{m}{se}" for m in ("kl_div", "lm_loss", "top1") for se in ("", "_se")}


def test_children_are_healed_and_evaluated(out):
    for schedule, steps in (("equal", 3), ("full", 6)):
        curve = files.read_json(out / f"curves/{schedule}.json")
        assert curve["tokens"] == [40 * (i + 1) for i in range(steps)]
        assert all(len(curve[series]) == steps for series in ("kl_div", "cosine", "lm_loss"))
        model = child.load(out / f"children/{schedule}")
        kinds = [[part.get("kind") for part in block.values()] for block in getattr(model.config, BLOCKS)]
        assert kinds == [["own", None], ["no_op", "own"], [None, "linear"]]
    found = files.read_json(out / "evaluation/here-mip.json")
    assert (found["method"], found["target"], found["choice"]["blocks"]) == ("mip", "here", CHOICE)
    domains = {"wiki_leads", "speeches", "owt", "wikipedia_ood", "in_domain", "out_of_domain"}
    assert set(found["states"]) == {"assembled", "refitted", "equal", "full"}
    for state in found["states"].values():
        assert set(state) == domains
        assert state["in_domain"]["windows"] == state["out_of_domain"]["windows"] == 4
        mean = (state["owt"]["kl_div"] + state["wikipedia_ood"]["kl_div"]) / 2
        assert state["out_of_domain"]["kl_div"] == pytest.approx(mean)
    assert found["states"]["full"]["in_domain"]["kl_div"] < found["states"]["assembled"]["in_domain"]["kl_div"]


def test_the_refitted_child_is_nearer_and_healing_begins_with_it(out):
    fits = files.read_json(out / "refits/here.json")["fits"]
    places = [(layer, place) for layer in range(3) for place in ("attention", "ffn")]
    assert [(fit["layer"], fit["subblock"]) for fit in fits] == [p for p in places if p != (1, "attention")]
    assert all(fit["after"] <= fit["before"] for fit in fits) and any(fit["ridge"] for fit in fits)
    states = files.read_json(out / "evaluation/here-mip.json")["states"]
    assert states["refitted"]["in_domain"]["kl_div"] < states["assembled"]["in_domain"]["kl_div"]
    assert not list((out / "children").glob(".*"))
    equal, full = (files.read_json(out / f"curves/{name}.json")["cosine"][0] for name in ("equal", "full"))
    assert full < equal  # the same first step, from a child whose states are nearer to the parent's


def test_refit_and_full_healing_are_kept_by_their_kl_on_validation_text(out):
    assert "validation" not in files.read_json(out / "curves/equal.json")
    for path in ("refits/here.json", "curves/full.json"):
        record = files.read_json(out / path)["validation"]
        assert record["share"] and 0 < record["kept"] < record["before"] and record["kept"] <= record["after"]


def full_healing(out, parent, tokens, place, **changes):
    """Arguments of the full healing of the refitted child, with its outputs in a place of its own."""
    return (
        params(puzzle_heal, **changes),
        "mip",
        "full",
        parent(),
        tokens,
        out / "search/here/children.json",
        [out / "library/part_0", out / "library/part_1"],
        place / "checkpoint.safetensors",
        place / "child",
        place / "curve.json",
        out / "children/refitted",
    )


def test_a_healing_that_does_harm_is_taken_back(out, parent, tokens, tmp_path):
    full = PARAMS["heal"]["full"] | {"learning_rate": 3.0}
    puzzle_heal.main(*full_healing(out, parent, tokens, tmp_path, heal=PARAMS["heal"] | {"full": full}))
    record = files.read_json(tmp_path / "curve.json")["validation"]
    assert record["share"] == 0 and record["after"] > record["before"] == record["kept"]
    for path in (out / "children/refitted").iterdir():
        assert (tmp_path / "child" / path.name).read_bytes() == path.read_bytes()


def test_frontier_is_measured_for_the_points_of_its_method(out):
    points = files.read_json(out / "frontier/here.json")["points"]
    assert [("measured" in p) for p in points] == [True, False, False]
    assert points[0]["measured"]["kl_div"] > 0 and points[0]["measured"]["windows"] == 5


def test_chain_learns_from_answers_alone(out, parent, tokens, tmp_path):
    """Of text that is learnt from in part: other activations, blocks, scores and children, and KL where it counts."""
    answers = tmp_path / "tokens"
    shutil.copytree(tokens, answers)
    for split in ("train", "valid", "test", "ood"):
        stream = np.load(tokens / f"{split}.npy")
        files.write_npy(loss_path(answers, split), np.arange(len(stream)) % 30 < 7)
    chain(parent(), answers, tmp_path)
    masks = [np.load(tmp_path / f"activations/{i}/train/mask.npy") for i in range(2)]
    assert [mask.shape for mask in masks] == [(8, 20), (7, 20)] and 0 < np.concatenate(masks).mean() < 0.5
    for name in ("library/part_1/layer_1.safetensors", "scores/part_0.json", "children/full/model.safetensors"):
        assert (tmp_path / name).read_bytes() != (out / name).read_bytes(), name
    states = files.read_json(tmp_path / "evaluation/here-mip.json")["states"]
    assert states["full"]["in_domain"]["kl_div"] < states["assembled"]["in_domain"]["kl_div"]
    # By hand, of the child in the file.
    teacher, model = (loading.load(path) for path in (parent(), tmp_path / "children/full"))
    seed = randomness.seed(PARAMS["seed"], "puzzle", "evaluate")
    text = joined([read(answers, "test", 19, 2, seed, [source]) for source in ("wiki_leads", "speeches")])
    with torch.no_grad():
        log_p, log_q = (one(text.tokens[:, :-1]).double().log_softmax(-1) for one in (teacher, model))
    kl = float((log_p.exp() * (log_p - log_q)).sum(-1)[text.mask].mean())
    assert states["full"]["in_domain"]["kl_div"] == pytest.approx(kl, rel=1e-4)


def test_without_out_of_domain_text(out, parent, tokens, tmp_path):
    data = json.loads(json.dumps(PARAMS["data"]))
    data["text"]["out_of_domain"] = {}
    search = out / "search/here/children.json"
    evaluate.main(
        params(evaluate, data=data),
        "mip",
        parent(),
        tokens,
        search,
        [out / "library/part_0", out / "library/part_1"],
        [],
        [],
        tmp_path / "metrics.json",
    )
    states = files.read_json(tmp_path / "metrics.json")["states"]
    assert set(states["assembled"]) == {"wiki_leads", "speeches", "in_domain"}


def test_killed_healing_goes_on_to_the_same_bytes(out, parent, tokens, tmp_path, monkeypatch):
    arguments = full_healing(out, parent, tokens, tmp_path)

    def dying(steps, _):
        for i in steps:
            if i == 5:
                raise KeyboardInterrupt
            yield i

    with monkeypatch.context() as patch:
        patch.setattr(puzzle_heal.progress, "track", dying)
        with pytest.raises(KeyboardInterrupt):
            puzzle_heal.main(*arguments)
    assert (tmp_path / "checkpoint.safetensors").is_file() and not (tmp_path / "child").exists()
    puzzle_heal.main(*arguments)
    assert (tmp_path / "curve.json").read_bytes() == (out / "curves/full.json").read_bytes()
    for path in (out / "children/full").iterdir():
        assert (tmp_path / "child" / path.name).read_bytes() == path.read_bytes()
    assert not (tmp_path / "checkpoint.safetensors").exists()


@pytest.mark.slow
def test_two_processes_of_torchrun_heal_the_same_child(out, parent, tokens, tmp_path):
    """The command that the rule gives, but for paths; without torchrun, or by another number, it is refused."""
    two = params(puzzle_heal, heal=PARAMS["heal"] | {"processes": 2, "teacher": "cache"})
    command = ["-m", "tessera.puzzle.stages.heal", "--params", two.model_dump_json(), "--method", "mip"]
    command += ["--schedule", "full", "--parent", parent(), "--tokens", tokens]
    command += ["--choices", out / "search/here/children.json", "--library", *sorted((out / "library").iterdir())]
    for name in ("checkpoint.safetensors", "child", "curve.json"):
        command += [f"--{name.partition('.')[0]}", tmp_path / name]
    command += ["--teacher-cache", tmp_path / "teacher", "--refitted", out / "children/refitted"]
    alone = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, check=False)
    assert alone.returncode == 1 and "error: heal.processes = 2, but 1 started" in alone.stderr
    assert not list(tmp_path.iterdir())
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*launcher, *map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found, expected = files.read_json(tmp_path / "curve.json"), files.read_json(out / "curves/full.json")
    for series, values in expected.items():
        assert found[series] == pytest.approx(values, abs=1e-4)
    healed, one = (loading.load(path).state() for path in (tmp_path / "child", out / "children/full"))
    assert all(torch.allclose(healed[name], weight, rtol=0, atol=1e-4) for name, weight in one.items())
    assert {path.name for path in tmp_path.iterdir()} == {"child", "curve.json", "teacher"}


def test_infeasible_and_unknown_methods_are_refused(out, parent, tokens, tmp_path):
    for method, message in (
        ("greedy", "greedy has no child within the budget"),
        ("magic", "no child of method 'magic'"),
    ):
        with pytest.raises(ValueError, match=message):
            puzzle_heal.main(
                params(puzzle_heal),
                method,
                "equal",
                parent(),
                tokens,
                out / "search/here/children.json",
                [out / "library/part_0", out / "library/part_1"],
                tmp_path / "checkpoint.safetensors",
                tmp_path / "child",
                tmp_path / "curve.json",
            )
    assert not list(tmp_path.iterdir())


def test_library_of_a_space_that_the_parent_has_not_is_refused(out, parent, tokens, tmp_path):
    space = {"attention": {"kv3": {"kind": "gqa", "kv_heads": 3}}, "ffn": {}}
    shards = [out / f"activations/{i}" for i in range(2)]
    with pytest.raises(ValueError, match=r"attention\.kv3: kv_heads is 3; for this parent, expected one of \[1, 2\]"):
        puzzle_library.main(params(puzzle_library, space=space), 0, parent(), shards, tmp_path / "library")
    assert not (tmp_path / "library").exists()


@pytest.mark.parametrize(
    ("stage", "changes", "message"),
    [
        (activations, {"calibration": {"tokens": 10, "window": 20, "shards": 1}}, "tokens = 10 holds no window"),
        (activations, {"seed": "three"}, "seed = 'three'"),
        (activations, {"valid_windows": 0}, "valid_windows = 0"),
        (puzzle_library, {"library": PARAMS["library"] | {"ridge": 0}}, r"library\.ridge = 0"),
        (puzzle_library, {"library": PARAMS["library"] | {"selection": "best"}}, r"library\.selection = 'best'"),
        (
            scores,
            {"scores": {"jobs": 1, "windows": 1, "window": 8, "extra": 1}},
            r"scores\.extra: unknown key",
        ),
        (puzzle_heal, {"heal": PARAMS["heal"] | {"cosine": -1.0}}, r"heal\.cosine = -1\.0"),
        (evaluate, {"evaluate": {"windows": 0, "window": 8}}, r"evaluate\.windows = 0"),
    ],
)
def test_bad_parameters_are_refused(stage, changes, message):
    with pytest.raises(ValueError, match=message):
        params(stage, **changes)


def test_too_little_text_is_a_clear_error(parent, tokens, tmp_path):
    many = {"calibration": {"tokens": 100_000, "window": 20, "shards": 1}}
    with pytest.raises(ValueError, match=r"the split train has \d+ windows of 20 tokens in .*; 5000 were asked for"):
        activations.main(params(activations, **many), 0, parent(), tokens, tmp_path / "activations")
    assert not list(tmp_path.iterdir())
