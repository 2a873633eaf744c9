"""An edge filter around the optimiser of any BoTorch acquisition function.

    edge_filter = EdgeFilter(model, bounds, rule="evidence")
    candidates, value = edge_filter(acquisition, q=1, num_restarts=10, raw_samples=512)

In place of botorch.optim.optimize_acqf. The acquisition's local maxima are sought as always, then those at the edge are
discarded by a rule of `tessera.bayesopt.edges`, and the best of what is left is the candidate.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction, AnalyticAcquisitionFunction
from botorch.models.model import Model
from botorch.optim import optimize_acqf
from botorch.utils.sampling import draw_sobol_samples
from scipy.special import ndtr
from torch import Tensor

from tessera.bayesopt import edges
from tessera.bayesopt.settings import Edges

#: Step, in shares of an axis, over which the outward slope is asked for.
STEP = 1e-2


class EdgeFilter:
    """Maximises acquisition functions over a box, without candidates on its boundary that the rule refuses.

    model: what the acquisition looks at; its single output is maximised, as BoTorch's convention has it. bounds: (2,
    D). rule: hard discards all candidates within the width that excludes the share `excluded` of the box; evidence
    keeps one if, at each face it is near to, the model's output rises outwards with a probability above tau; none
    keeps all.
    edged: axes (D,) that have edges, by default all. Raises ValueError if an option is out of range.
    """

    def __init__(
        self,
        model: Model,
        bounds: Tensor,
        rule: Edges = "evidence",
        excluded: float = 0.1,
        tau: float = 0.9,
        edged: Sequence[bool] | None = None,
    ) -> None:
        if rule not in ("none", "hard", "evidence"):
            raise ValueError(f"rule = {rule!r}; expected none, hard or evidence")
        for name, share in (("excluded", excluded), ("tau", tau)):
            if not 0 < share < 1:
                raise ValueError(f"{name} = {share}; must be between 0 and 1")
        if bounds.ndim != 2 or len(bounds) != 2 or not bool((bounds[0] < bounds[1]).all()):
            raise ValueError(
                f"bounds has shape {tuple(bounds.shape)}; expected (2, D), with the lower bounds below the upper"
            )
        if model.num_outputs != 1:
            raise ValueError(f"model.num_outputs = {model.num_outputs}; must be 1")
        width = bounds.shape[1]
        self.model, self.bounds, self.rule, self.tau = model, bounds, rule, tau
        self.edged = np.ones(width, dtype=bool) if edged is None else np.asarray(edged, dtype=bool)
        if self.edged.shape != (width,):
            raise ValueError(f"edged has shape {self.edged.shape}; expected ({width},)")
        self.width = edges.edge_width(excluded, int(self.edged.sum()))

    def __call__(
        self,
        acquisition: AcquisitionFunction,
        q: int = 1,
        num_restarts: int = 10,
        raw_samples: int = 512,
        **options: Any,
    ) -> tuple[Tensor, Tensor]:
        """Candidates (q, D), chosen one after the other, and the acquisition's value at the last choice.

        options are those of optimize_acqf. If the rule refuses every local maximum, the best of raw_samples Sobol
        points away from the edge is the candidate.
        """
        if q < 1:
            raise ValueError(f"q = {q}; expected an integer from 1")
        if q > 1 and isinstance(acquisition, AnalyticAcquisitionFunction):
            raise ValueError(f"q = {q}: {type(acquisition).__name__} does not know pending points; q must be 1")
        before = getattr(acquisition, "X_pending", None)
        chosen: list[Tensor] = []
        try:
            for _ in range(q):
                if chosen:
                    pending = torch.cat([*([] if before is None else [before]), *chosen])
                    acquisition.set_X_pending(pending)
                row, value = self._candidate(acquisition, num_restarts, raw_samples, options)
                chosen.append(row)
        finally:
            if q > 1:
                acquisition.set_X_pending(before)
        return torch.cat(chosen), value

    def passes(self, row: Tensor) -> bool:
        """Whether the rule lets a point (D,) pass."""
        if self.rule == "none":
            return True
        share = ((row - self.bounds[0]) / (self.bounds[1] - self.bounds[0])).detach().cpu().numpy()
        low, high = edges.faces(share, self.edged, self.width)
        if self.rule == "hard":
            return not (low | high).any()
        return all(self._rises(share, int(axis), bool(low[axis])) > self.tau for axis in np.flatnonzero(low | high))

    def _candidate(
        self, acquisition: AcquisitionFunction, num_restarts: int, raw_samples: int, options: dict[str, Any]
    ) -> tuple[Tensor, Tensor]:
        candidates, values = optimize_acqf(
            acquisition,
            self.bounds,
            q=1,
            num_restarts=num_restarts,
            raw_samples=raw_samples,
            **{**options, "return_best_only": False},
        )
        for i in torch.argsort(values, descending=True).tolist():
            if self.passes(candidates[i, 0]):
                return candidates[i], values[i]
        inner = self._inner()
        rows = draw_sobol_samples(inner, raw_samples, 1, seed=int(torch.randint(1 << 30, (1,))))
        with torch.no_grad():
            values = acquisition(rows)
        best = int(torch.argmax(values))
        return rows[best], values[best]

    def _inner(self) -> Tensor:
        """The box (2, D) without its edge."""
        margin = torch.as_tensor(self.edged * self.width * 1.0001).to(self.bounds) * (self.bounds[1] - self.bounds[0])
        return torch.stack([self.bounds[0] + margin, self.bounds[1] - margin])

    def _rises(self, share: np.ndarray, axis: int, low: bool) -> float:
        """Probability that the output rises over a step outwards along an axis, which ends where the point lies."""
        inner = share.copy()
        inner[axis] += STEP if low else -STEP
        rows = torch.as_tensor(np.stack([share, inner])).to(self.bounds)
        with torch.no_grad():
            posterior = self.model.posterior(self.bounds[0] + rows * (self.bounds[1] - self.bounds[0]))
            mean = posterior.mean.squeeze(-1)
            covariance = posterior.distribution.covariance_matrix
        rise = float(mean[0] - mean[1])
        variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
        return float(ndtr(rise / max(variance, 1e-24) ** 0.5))
