"""Children against the parent by domain."""

import math

import numpy as np
import pytest
import torch

from tessera.puzzle import child
from tessera.puzzle.models import loading
from tessera.puzzle.scores import evaluate, replace_one
from tessera.puzzle.scores.divergence import Agreement, compare

TOKENS = torch.randint(1, 64, (5, 13), generator=torch.Generator().manual_seed(3))
DOMAINS, DOCUMENTS = np.array(["a", "b", "a", "c", "b"]), np.array([0, 1, 2, 3, 4])


@torch.no_grad()
@pytest.mark.parametrize("batch_tokens", [1, 40, 10**6])
def test_domains_and_groups(monkeypatch, parent, library, variants, batch_tokens):
    monkeypatch.setattr(evaluate, "BATCH_TOKENS", batch_tokens)
    teacher = loading.load(parent())
    student = child.assemble(teacher, variants, library(), ["kv1+parent", "no_op+ffn50", "parent+linear"])
    found = evaluate.evaluate(
        teacher, {"child": student, "same": teacher}, TOKENS, DOMAINS, DOCUMENTS, {"ab": ["a", "b"]}
    )
    assert list(found) == ["child", "same"] and list(found["child"]) == ["a", "b", "c", "ab"]
    members = {"a": [0, 2], "b": [1, 4], "c": [3], "ab": [0, 1, 2, 4]}
    for name, model in (("child", student), ("same", teacher)):
        for domain, windows in members.items():
            metrics, one = found[name][domain], []
            for i in windows:
                x, targets = TOKENS[i : i + 1, :-1], TOKENS[i, 1:]
                states = [(m.head, m.last(x)[0]) for m in (teacher, model)]
                one += compare(*states[0], [states[1]], targets)
            expected = replace_one.summary(one, DOCUMENTS[windows])
            assert {k: metrics[k] for k in expected} == pytest.approx(expected, abs=1e-5)
            assert metrics["perplexity"] == pytest.approx(math.exp(expected["lm_loss"]), rel=1e-4)
            assert metrics["parent_perplexity"] == pytest.approx(found["same"][domain]["perplexity"], rel=1e-5)
            assert metrics["windows"] == len(windows)
            assert all(isinstance(k, str) and type(k) is str for k in found[name])
    assert found["same"]["ab"]["kl_div"] == pytest.approx(0, abs=1e-6) and found["same"]["ab"]["top1"] == 1.0
    assert found["child"]["ab"]["kl_div"] > 0.01
    windows = found["child"]["ab"]["by_window"]
    assert np.mean(windows["kl_div"]) == pytest.approx(found["child"]["ab"]["kl_div"])
    assert windows["document"] == [0, 1, 2, 4] and "by_window" not in found["child"]["a"]
    assert isinstance(one[0], Agreement)
