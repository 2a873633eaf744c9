"""The filter of edges around BoTorch's acquisitions: it refuses what the rules refuse, and nothing else."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow
pytest.importorskip("botorch", reason="needs the extra peers")

import torch  # noqa: E402
from botorch.acquisition import PosteriorMean, qLogExpectedImprovement  # noqa: E402
from botorch.models import SingleTaskGP  # noqa: E402
from botorch.optim import optimize_acqf  # noqa: E402

from tessera.bayesopt.adapters.botorch_edges import STEP, EdgeFilter  # noqa: E402

BOUNDS = torch.tensor([[-1.0, 0.0], [3.0, 10.0]], dtype=torch.double)


def model_of(f, n: int = 30):
    """A model of f on the unit square, over the box BOUNDS."""
    torch.manual_seed(0)
    share = torch.rand(n, 2, dtype=torch.double)
    X = BOUNDS[0] + share * (BOUNDS[1] - BOUNDS[0])
    model = SingleTaskGP(X, f(share).unsqueeze(-1), train_Yvar=torch.full((n, 1), 1e-4, dtype=torch.double))
    model.covar_module.lengthscale = torch.tensor([2.0, 5.0])
    return model.eval()


def slope(share):
    """It rises towards the face x0 = 3, and has its peak in the middle of the other axis."""
    return share[:, 0] - (share[:, 1] - 0.5) ** 2


def at_edge(row, width: float) -> bool:
    share = (row - BOUNDS[0]) / (BOUNDS[1] - BOUNDS[0])
    return bool(((share <= width) | (share >= 1 - width)).any())


def test_hard_discards_and_evidence_keeps_a_plain_slope() -> None:
    model = model_of(slope)
    acquisition = PosteriorMean(model)
    for rule, edged in (("none", True), ("evidence", True), ("hard", False)):
        edge_filter = EdgeFilter(model, BOUNDS, rule)
        row, value = edge_filter(acquisition, num_restarts=4, raw_samples=64)
        assert row.shape == (1, 2)
        assert at_edge(row[0], edge_filter.width) is edged
        torch.testing.assert_close(value, acquisition(row)[0], rtol=1e-4, atol=1e-6)


def test_without_evidence_an_edge_is_refused() -> None:
    """Data in the middle alone say nothing of the slope at the faces."""
    model = model_of(lambda share: 0.01 * (share[:, 0] - 0.5), n=6)
    edge_filter = EdgeFilter(model, BOUNDS, "evidence")
    assert not edge_filter.passes(torch.tensor([-1.0, 0.0], dtype=torch.double))
    assert edge_filter.passes(torch.tensor([1.0, 5.0], dtype=torch.double))


def test_axes_without_edges_are_left_alone() -> None:
    edge_filter = EdgeFilter(model_of(slope), BOUNDS, "hard", edged=[False, True])
    assert edge_filter.passes(torch.tensor([3.0, 5.0], dtype=torch.double))
    assert not edge_filter.passes(torch.tensor([1.0, 10.0], dtype=torch.double))


def test_the_slope_is_asked_of_the_joint_posterior() -> None:
    """P(rise outwards) against the share of joint draws that rise over the same step."""
    model = model_of(lambda share: 0.02 * share[:, 0], n=5)
    row = np.array([1.0, 0.4])
    pair = torch.as_tensor(np.array([row, row - [STEP, 0]]))
    draws = model.posterior(BOUNDS[0] + pair * (BOUNDS[1] - BOUNDS[0])).rsample(torch.Size([20000])).squeeze(-1)
    found = EdgeFilter(model, BOUNDS)._rises(row, 0, low=False)
    assert 0.05 < found < 0.95
    assert found == pytest.approx(float((draws[:, 0] > draws[:, 1]).double().mean()), abs=0.02)


def test_batches_are_chosen_one_after_the_other() -> None:
    model = model_of(slope)
    acquisition = qLogExpectedImprovement(model, best_f=0.5)
    before = torch.tensor([[1.0, 5.0]], dtype=torch.double)
    acquisition.set_X_pending(before)
    rows, _ = EdgeFilter(model, BOUNDS, "hard")(acquisition, q=3, num_restarts=2, raw_samples=32)
    assert rows.shape == (3, 2)
    assert torch.equal(acquisition.X_pending, before)
    assert torch.cdist(rows, rows).fill_diagonal_(1.0).min() > 1e-3


def test_without_a_rule_it_is_optimize_acqf() -> None:
    model = model_of(slope)
    acquisition = PosteriorMean(model)
    torch.manual_seed(1)
    ours, _ = EdgeFilter(model, BOUNDS, "none")(acquisition, num_restarts=3, raw_samples=32)
    torch.manual_seed(1)
    theirs, _ = optimize_acqf(acquisition, BOUNDS, q=1, num_restarts=3, raw_samples=32)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "soft"}, "rule = 'soft'; expected none, hard or evidence"),
        ({"excluded": 1.0}, "excluded = 1.0"),
        ({"tau": 0.0}, "tau = 0.0"),
        ({"edged": [True]}, r"edged has shape \(1,\); expected \(2,\)"),
        ({"bounds": BOUNDS[:1]}, r"bounds has shape \(1, 2\)"),
    ],
)
def test_wrong_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EdgeFilter(model_of(slope), **{"bounds": BOUNDS, **options})


def test_no_batch_without_pending_points() -> None:
    model = model_of(slope)
    with pytest.raises(ValueError, match="q = 2: PosteriorMean does not know pending points"):
        EdgeFilter(model, BOUNDS)(PosteriorMean(model), q=2)


def test_the_example_runs() -> None:
    path = Path(__file__).parents[3] / "examples/botorch_edges.py"
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=True)
    rules = {line.split(":")[0]: int(line.split(", ")[1].split()[0]) for line in done.stdout.splitlines()}
    assert rules["hard"] == 0
    assert set(rules) == {"none", "hard", "evidence"}
