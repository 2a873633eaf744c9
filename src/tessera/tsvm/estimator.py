"""TemporalSVM: weights of the largest dynamical margin for desired spike times, with the proof attached.

Our formulation of a dynamical margin, motivated by Rubin and Sompolinsky (2022, arXiv:2205.14544); see `margin`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, overload

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch, check_spikes
from tessera.tsvm import exponentials, kernels, layout, margin, neuron, soft, solver, spaces
from tessera.tsvm.certificate import Certificate, Round
from tessera.tsvm.cuts import Cuts
from tessera.tsvm.targets import check_targets

#: Desired times in ms, sorted: one array per pattern, or that of a single one.
Targets = Sequence[np.ndarray] | np.ndarray


class TemporalSVM(BaseEstimator):
    """A neuron that fires at desired times, and at no others, with the largest dynamical margin.

    X is a SpikeBatch (P, N). y holds the desired times: one sorted array in ms per pattern, empty for a pattern to stay
    silent on; for a single pattern, the array itself is accepted. The rows and their margin kappa: see `margin`.

    Parameters
    ----------
    kernel : "linear", "poly" (1 + x.x')^degree, "gaussian" of width sigma, or an object of `tsvm.kernels`, such as
        Branches or Interaction.
    tau_m, tau_s : membrane and synaptic time constant, ms; tau_m > tau_s > 0.
    tau_c : ms > 0, how sharply in time the margin relaxes before a target.
    hold : ms >= 0 after a target during which V must stay above threshold by the margin; None for tau_c, 0 for none.
    C : slack penalty > 0 of the soft margin; None for the hard margin.
    tol : relative gap of the certificate, in [1e-7, 1); the soft margin's is at least 1e-4.
    degree, sigma : of the kernels "poly" and "gaussian".
    scale : factor > 0 on the traces, so that kernels are of order 1.
    after_last : whether silence is required after a pattern's last target.
    min_interval : ms > 0; targets closer than this are refused.
    max_rounds : most rounds of the solver, >= 1.

    Attributes
    ----------
    status_ : certified, feasible, infeasible, undecided; of a soft fit, soft. An infeasible task is no error, but its
        neuron has no weights, and only a soft fit can predict.
    certificate_ : a `Certificate`, the proof of the bounds.
    margin_ : (low, up) with low <= kappa* <= up; None if infeasible or soft.
    objective_ : (low, up) of a soft fit's optimum.
    coef_ (N,) : weights of the linear kernel, scaled so that kappa |w| = 1; None of other kernels.
    threshold_, norm_ : theta and |w| in the same unit.
    support_patterns_, support_times_ (ms), support_kinds_ ("h", "hold" or "slope"), dual_coef_, all (m,) : the support
        vectors and their multipliers; target_coef_ (n_d,) : the multipliers of V = theta at the targets.
    history_, n_iter_ : a `Round` for each round, and their number.
    psp_, kernel_ : what tau_m, tau_s and kernel stand for.
    n_features_in_ : N.

    Errors: ValueError that names the parameter, or pattern and target; TypeError if X is no SpikeBatch; NotFittedError.
    """

    def __init__(
        self,
        kernel: Literal["linear", "poly", "gaussian"] | kernels.Kernel = "linear",
        tau_m: float = 15.0,
        tau_s: float = 3.75,
        tau_c: float = 2.0,
        hold: float | None = None,
        C: float | None = None,
        tol: float = 1e-6,
        degree: int = 2,
        sigma: float = 1.0,
        scale: float = 1.0,
        after_last: bool = True,
        min_interval: float = 2.0,
        max_rounds: int = 100,
    ) -> None:
        self.kernel, self.tau_m, self.tau_s, self.tau_c, self.hold = kernel, tau_m, tau_s, tau_c, hold
        self.C, self.tol, self.degree, self.sigma, self.scale = C, tol, degree, sigma, scale
        self.after_last, self.min_interval, self.max_rounds = after_last, min_interval, max_rounds

    def fit(self, X: SpikeBatch, y: Targets) -> TemporalSVM:
        """Find the weights."""
        psp = self._check()
        trains = check_spikes(X)
        checked = check_targets(trains, _lists(trains, y), self.min_interval)
        self.n_features_in_ = trains.n_neurons
        hold = self.tau_c if self.hold is None else self.hold
        hard = self.C is None
        pieces = layout.build(
            trains, checked, psp, self.tau_c, hold, self.scale, self.after_last,
            margin_time=layout.GUARD if hard else 0.1 * self.tau_c, exact=hard,
        )  # fmt: skip
        self.psp_, self.kernel_ = psp, self._kernel()
        self._space = spaces.space(pieces, self.kernel_)
        if self.C is None:
            self._take_hard(solver.solve(pieces, self._space, self.tol, self.max_rounds))
        else:
            self._take_soft(soft.solve_soft(pieces, self._space, self.C, max(self.tol, 1e-4), self.max_rounds))
        return self

    def predict(self, X: SpikeBatch) -> list[np.ndarray]:
        """Return the spike times in ms of the free neuron, with its own resets, one array per pattern.

        Exact between events for the linear, polynomial and interaction kernels. For the Gaussian one a crossing that
        is over within 0.01 ms can be missed.
        """
        trains = self._fitted(X)
        if self.coef_ is not None:
            return neuron.simulate(self.coef_, self.threshold_, trains, self.psp_, self.scale)
        pieces = self._silent(trains)
        potential = self._potential(pieces)
        return [self._free_run(pieces, potential, p) for p in range(len(trains))]

    def score(self, X: SpikeBatch, y: Targets, window: float = 2.0) -> float:
        """Return the mean F1 over patterns of the free neuron's spikes, matched to y one to one within +-window ms."""
        pairs = zip(self.predict(X), _lists(X, y), strict=True)
        return float(np.mean([neuron.match(actual, desired, window).f1 for actual, desired in pairs]))

    def voltage(self, X: SpikeBatch, t: np.ndarray, y: Targets | None = None) -> np.ndarray:
        """Return V (P, len(t)) at times t in ms, with resets at y, by default at the neuron's own spikes."""
        trains, t = self._fitted(X), np.asarray(t, dtype=float)
        resets = self.predict(trains) if y is None else _lists(trains, y)
        potential = self._potential(self._silent(trains))
        v = np.empty((len(trains), len(t)))
        for p in range(len(trains)):
            v[p] = potential.values(np.full(len(t), p), t)
            for spike in np.asarray(resets[p], dtype=float):
                late = t > spike
                v[p, late] -= self.threshold_ * np.exp(-(t[late] - spike) / self.tau_m)
        return v

    def margins(self, X: SpikeBatch, t: np.ndarray, y: Targets) -> np.ndarray:
        """Return h(t)/|w| (P, len(t)), the margin by which V stays below threshold at times t in ms off the targets y.

        Its least value over time is that of the rows h; NaN at the targets, where it is a limit, 0/0, and where nothing
        is required: after the last target unless after_last.
        """
        trains, t = self._fitted(X), np.asarray(t, dtype=float)
        if not self.norm_ > 0:
            raise ValueError(f"the task is {self.status_}, and its neuron has no weights and no margin")
        lists = _lists(trains, y)
        wait = np.array([np.append(at, np.inf)[np.searchsorted(at, t)] - t for at in lists])
        if not self.after_last:  # of a pattern without targets, all of it counts
            wait[[np.isinf(row) & bool(len(at)) for row, at in zip(wait, lists, strict=True)]] = 0.0
        g = np.where(wait > 0, -np.expm1(-wait / self.tau_c), np.nan)
        return (self.threshold_ - self.voltage(trains, t, lists)) / g / self.norm_

    def unit_weights(self) -> np.ndarray:
        """Weights (N,) at threshold 1, of the linear kernel. Raises ValueError for other kernels, which have none."""
        self._fitted()
        if self.coef_ is None:
            raise ValueError(f"kernel is {self.kernel!r}; only the linear kernel has one weight per afferent")
        return self.coef_ / self.threshold_

    def expansion(self) -> kernels.Expansion | None:
        """w as values and derivatives at its atoms; None for the linear kernel, whose w is coef_."""
        self._fitted()
        return self._space.expansion(self._atoms)

    def _check(self) -> DoubleExponential:
        psp = DoubleExponential(self.tau_m, self.tau_s)
        for name, value, low in (
            ("tau_c", self.tau_c, 0),
            ("scale", self.scale, 0),
            ("min_interval", self.min_interval, 0),
        ):
            if not (np.isfinite(value) and value > low):
                raise ValueError(f"{name} is {value}; expected a positive, finite number")
        if self.hold is not None and not (np.isfinite(self.hold) and self.hold >= 0):
            raise ValueError(f"hold is {self.hold}; expected a finite number of ms >= 0, or None for tau_c")
        if self.C is not None and not (np.isfinite(self.C) and self.C > 0):
            raise ValueError(f"C is {self.C}; expected a positive, finite number, or None for the hard margin")
        solver.check_rounds(self.max_rounds)
        if not 1e-7 <= self.tol < 1:
            raise ValueError(f"tol is {self.tol}; expected 1e-7 <= tol < 1: rounding next to the targets is coarser")
        return psp

    def _kernel(self) -> kernels.Kernel:
        if isinstance(self.kernel, str):
            kinds: dict[str, Callable[[], kernels.Kernel]] = {
                "linear": kernels.Linear,
                "poly": lambda: kernels.Polynomial(self.degree),
                "gaussian": lambda: kernels.Gaussian(self.sigma),
            }
            if self.kernel not in kinds:
                raise ValueError(
                    f"kernel is {self.kernel!r}; expected one of {', '.join(kinds)} or an object of tsvm.kernels"
                )
            return kinds[self.kernel]()
        if not all(hasattr(self.kernel, name) for name in ("value", "first", "mixed")):
            raise ValueError(f"kernel is {self.kernel!r}; expected an object with value, first and mixed")
        return self.kernel

    def _take_hard(self, solution: solver.Solution) -> None:
        certificate = solution.certificate
        self.certificate_, self.status_ = certificate, certificate.status
        self.margin_: tuple[float, float] | None = (
            None if self.status_ == "infeasible" else (certificate.low, certificate.up)
        )
        self.history_, self.n_iter_ = certificate.history, len(certificate.history)
        self.objective_: tuple[float, float] | None = None
        self._take(solution, solution.cuts)

    def _take_soft(self, solution: soft.SoftSolution) -> None:
        self.status_, self.margin_, self.objective_ = "soft", None, (solution.low, solution.up)
        self.history_ = [Round(low, up, (up - low) / up if up else 0.0, cuts) for low, up, cuts in solution.history]
        self.n_iter_ = len(solution.history)
        ratio = solution.norm / solution.a.sum() if solution.a.any() else 0.0
        self.certificate_ = Certificate(
            "soft", solution.low, solution.up, ratio, solution.problem.size, max(self.tol, 1e-4), self.history_
        )
        self._take(solution, solution.problem.cuts)

    def _take(self, solution: solver.Solution | soft.SoftSolution, cuts: Cuts) -> None:
        linear = isinstance(self._space, spaces.LinearSpace)
        self.coef_ = solution.coordinates if linear else None
        self._coordinates = solution.coordinates
        self._atoms = np.append(solution.atoms, np.zeros(len(solution.b) + len(cuts) - len(solution.atoms)))
        self.threshold_, self.norm_ = solution.theta, solution.norm
        support = np.flatnonzero(solution.a > solver.SUPPORT * solution.a.max(initial=0.0))
        order = support[np.lexsort((cuts.times[support], cuts.patterns[support]))]
        self.support_patterns_, self.support_times_ = cuts.patterns[order], cuts.times[order]
        self.support_kinds_, self.dual_coef_ = cuts.kinds[order], solution.a[order]
        self.target_coef_ = solution.b

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False  # a SpikeBatch is ragged
        tags.target_tags.required = True
        return tags

    @overload
    def _fitted(self) -> None: ...
    @overload
    def _fitted(self, X: SpikeBatch) -> SpikeBatch: ...
    def _fitted(self, X: SpikeBatch | None = None) -> SpikeBatch | None:
        """X, checked, of a neuron that has weights."""
        check_is_fitted(self, "status_", msg="TemporalSVM is not fitted; call fit first")
        if self.status_ == "infeasible" or not self.threshold_ > 0:
            raise ValueError("the task is infeasible and has no weights; fit with C for a soft margin")
        return X if X is None else check_spikes(X, self.n_features_in_)

    def _silent(self, trains: SpikeBatch) -> layout.Layout:
        none = [np.empty(0)] * len(trains)
        return layout.build(trains, none, self.psp_, self.tau_c, 0.0, self.scale, exact=False)

    def _potential(self, pieces: layout.Layout) -> margin.Potential:
        return self._space.potential(self._coordinates, self._atoms, pieces)

    def _free_run(self, pieces: layout.Layout, potential: margin.Potential, p: int) -> np.ndarray:
        """Output spikes of one pattern; resets decay as exp(-s/tau_m), a term of the potential's own sum."""
        spikes: list[float] = []
        low, high = np.searchsorted(pieces.pattern, [p, p + 1])
        for e in range(low, high):
            begin, end = 0.0, pieces.length[e] + (neuron.LATE if e == high - 1 else 0.0)
            while begin < end:
                at = pieces.start[e] + begin
                reset = self.threshold_ * np.exp(-(at - np.array(spikes)) / self.tau_m).sum() if spikes else 0.0
                s = self._next(potential, p, e, pieces.start[e], begin, end, reset)
                if s < 0 or len(spikes) >= neuron.MAX_SPIKES:
                    break
                spikes.append(min(pieces.start[e] + s, pieces.ends[p]))
                begin = s
        return np.array(spikes)

    def _next(self, potential, p: int, e: int, start: float, begin: float, end: float, reset: float) -> float:
        if isinstance(potential, margin.ExponentialPotential):
            rates = -potential.rates
            c = potential.terms[e] * np.exp(rates * begin)
            c[potential.reset_term] -= reset
            s = exponentials.first_crossing(-self.threshold_, c, rates, 0.0, end - begin, np.empty((2, len(c))))
            return begin + s if s >= 0 else -1.0
        s = np.linspace(begin, end, max(2, int((end - begin) / 0.01) + 1))

        def above(s):
            v = potential.values(np.full(len(s), p), start + s) if len(s) else np.empty(0)
            return v - reset * np.exp(-(s - begin) / self.tau_m) - self.threshold_

        crossed = np.flatnonzero(above(s)[1:] >= 0)
        if not len(crossed):
            return -1.0
        below, over = s[crossed[0]], s[crossed[0] + 1]
        for _ in range(50):
            middle = 0.5 * (below + over)
            below, over = (below, middle) if above(np.array([middle]))[0] >= 0 else (middle, over)
        return float(over)


def _lists(trains: SpikeBatch, targets: Targets) -> list[np.ndarray]:
    """The targets of each pattern; those of a single one may be passed as one array, not in a list."""
    alone = len(trains) == 1 and (np.ndim(targets) == 1 if len(targets) == 0 else np.ndim(targets[0]) == 0)
    return [np.asarray(targets, dtype=float)] if alone else list(targets)
