"""BoTorch's qLogEI with and without an edge rule: python examples/botorch_edges.py

Four evaluations of Hartmann's function of six variables after twelve random ones. Needs the extra: pip install
'tessera[peers]'.
"""

import torch
from botorch.acquisition import qLogExpectedImprovement
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.test_functions import Hartmann
from gpytorch.mlls import ExactMarginalLogLikelihood

from tessera.bayesopt.adapters.botorch_edges import EdgeFilter
from tessera.bayesopt.edges import edge_width
from tessera.bayesopt.settings import Edges


def search(rule: Edges, evaluations: int = 4) -> tuple[float, int]:
    """The least value found, and how many of the candidates lie at the edge, which is a tenth of the volume."""
    torch.manual_seed(0)
    function = Hartmann(dim=6).to(torch.double)
    bounds = function.bounds
    X = torch.rand(12, 6, dtype=torch.double)
    Y = -function(X).unsqueeze(-1)  # BoTorch maximises
    for _ in range(evaluations):
        model = SingleTaskGP(X, Y)
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        candidates, _ = EdgeFilter(model, bounds, rule)(qLogExpectedImprovement(model, best_f=Y.max()))
        X, Y = torch.cat([X, candidates]), torch.cat([Y, -function(candidates).unsqueeze(-1)])
    proposed = X[12:]
    width = edge_width(0.1, 6)
    at_edge = ((proposed <= width) | (proposed >= 1 - width)).any(dim=1)
    return -float(Y.max()), int(at_edge.sum())


def main() -> None:
    for rule in ("none", "hard", "evidence"):
        value, at_edge = search(rule)
        print(f"{rule}: least value {value:.3f}, {at_edge} of 4 candidates at the edge")


if __name__ == "__main__":
    main()
