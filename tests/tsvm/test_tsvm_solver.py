"""The certified margin: golden facts, proof of both bounds, invariants, infeasible tasks."""

import itertools

import numpy as np
import pytest

from tessera.neurons.psp import DoubleExponential
from tessera.neurons.spikes import SpikeBatch
from tessera.tsvm import kernels, layout, solver, spaces
from tessera.tsvm.tasks import poisson_problem, xor, xor_branches

PSP = DoubleExponential(15.0, 3.75)
PROBLEMS = {"A": (0, 100, 3), "B": (1, 100, 6), "C": (2, 200, 10)}


def problem(name):
    seed, n, targets = PROBLEMS[name]
    return poisson_problem(np.random.default_rng(seed), n, targets)


def solve(spikes, targets, hold=0.0, kernel=None, **options):
    pieces = layout.build(spikes, targets, PSP, 2.0, hold, **options)
    return pieces, solver.solve(pieces, spaces.space(pieces, kernel or kernels.Linear()))


# Reference values were computed by another implementation, with Clarabel, quadprog and PIQP, all to 1e-8.
@pytest.mark.parametrize(
    ("name", "low", "up"),
    [("A", 0.11737281, 0.11737283), ("B", 0.0085189832, 0.0085189837), ("C", 0.13069177, 0.13069179)],
)
def test_golden_margins_one_sided(name, low, up):
    spikes, targets = problem(name)
    pieces, solution = solve(spikes, [targets])
    c = solution.certificate
    assert c.status == "certified" and c.gap <= 1e-6
    # The reference interval and ours hold the same optimum: they overlap, to the reference's own rounding.
    assert c.low <= up * (1 + 1e-7) and c.up >= low * (1 - 1e-7)
    residual = solution.potential.values(pieces.target_pattern, pieces.targets) - solution.theta * (
        1 + pieces.target_reset
    )
    assert np.abs(residual).max() <= 1e-10 * solution.theta
    if name == "C":
        assert np.all(solution.a[solution.cuts.kinds == "slope"] > 0)


@pytest.mark.parametrize(("name", "kappa"), [("A", 0.117372), ("B", 0.0063213), ("C", 0.124971)])
def test_golden_margins_two_sided(name, kappa):
    spikes, targets = problem(name)
    c = solve(spikes, [targets], hold=2.0)[1].certificate
    assert c.status == "certified"
    assert c.up == pytest.approx(kappa, rel=1e-5)


@pytest.mark.parametrize(("target", "kappa"), [(3.0, 0.2761612485), (4.0, 0.1723386459)])
def test_one_afferent_has_the_slope_as_its_margin(target, kappa):
    spikes = SpikeBatch.from_patterns([(np.array([0.0]), np.array([0]))], 1, 60.0)
    c = solve(spikes, [np.array([target])])[1].certificate
    assert c.status == "certified" and c.up == pytest.approx(kappa, abs=1e-9)
    d = 1e-6
    assert kappa == pytest.approx(2.0 * (PSP(target + d) - PSP(target - d)) / (2 * d), abs=1e-8)


def test_bounds_hold_in_every_round():
    spikes, targets = problem("C")
    _, solution = solve(spikes, [targets], hold=2.0)
    history = solution.certificate.history
    assert all(r.low <= r.up * (1 + 1e-12) for r in history)
    assert all(later.up <= earlier.up * (1 + 1e-9) for earlier, later in itertools.pairwise(history))
    # KKT: sum of the multipliers of the rows in the normalisation |w|^2 = 1/kappa^2.
    assert solution.a.sum() == pytest.approx(1.0, abs=1e-12)
    support = (solution.a > 1e-6 * solution.a.max()).sum()
    assert support <= 200 + 1 - 10


XOR = {
    "poly": (kernels.Polynomial(2), 0.0725699),
    "joined": (kernels.Branches(kernels.Polynomial(2), xor_branches(10, (0, 2), (1, 3))), 0.0530444),
    "wrongly paired": (kernels.Branches(kernels.Polynomial(2), xor_branches(10, (0, 3), (1, 2))), 0.0511335),
    "gaussian 0.5": (kernels.Gaussian(0.5), 0.1567143),
    "gaussian 1": (kernels.Gaussian(1.0), 0.0492108),
}


@pytest.mark.parametrize("name", XOR)
def test_golden_xor(name):
    kernel, kappa = XOR[name]
    spikes, targets = xor(10)
    c = solve(spikes, targets, kernel=kernel, scale=0.1, after_last=False)[1].certificate
    assert c.status == "certified" and c.up == pytest.approx(kappa, abs=1e-7)


@pytest.mark.parametrize(
    "kernel",
    [
        kernels.Linear(),
        kernels.Branches(kernels.Polynomial(2), xor_branches(10, (0,), (1,), (2,), (3,))),
        kernels.Branches(kernels.Gaussian(0.5), xor_branches(10, (0, 1), (2, 3))),
    ],
)
def test_xor_is_impossible_where_no_branch_sees_both(kernel):
    spikes, targets = xor(10)
    c = solve(spikes, targets, kernel=kernel, scale=0.1, after_last=False)[1].certificate
    assert c.status == "infeasible" and c.ratio <= 1e-6 * c.size and (c.low, c.up) == (0.0, 0.0)


def test_more_targets_than_weights_is_infeasible_and_proved_so():
    spikes, targets = poisson_problem(np.random.default_rng(5), 8, 20, rate=2e-2)
    c = solve(spikes, [targets])[1].certificate
    assert c.status == "infeasible"


def test_margin_scales_with_the_traces_and_grows_with_afferents():
    spikes, targets = poisson_problem(np.random.default_rng(3), 60, 3)
    plain = solve(spikes, [targets])[1].certificate
    scaled = solve(spikes, [targets], scale=2.5)[1].certificate
    assert scaled.up == pytest.approx(2.5 * plain.up, rel=1e-6)
    fewer = SpikeBatch(spikes.times[spikes.neurons < 50], spikes.neurons[spikes.neurons < 50],
                       np.array([0, (spikes.neurons < 50).sum()]), 50, spikes.duration)  # fmt: skip
    assert solve(fewer, [targets])[1].certificate.up <= plain.up * (1 + 1e-6)


def test_the_hold_window_never_raises_the_margin():
    spikes, targets = poisson_problem(np.random.default_rng(4), 80, 4)
    margins = [solve(spikes, [targets], hold=hold)[1].certificate.up for hold in (0.0, 1.0, 2.0, 4.0)]
    assert all(later <= earlier * (1 + 2e-6) for earlier, later in itertools.pairwise(margins))


def test_a_dead_zone_has_weights_too():
    spikes, targets = problem("A")
    c = solve(spikes, [targets], hold=2.0, dead_zone=True)[1].certificate
    assert c.status in ("certified", "feasible") and c.low > 0


def test_many_patterns_share_their_weights():
    rng = np.random.default_rng(6)
    parts = [poisson_problem(rng, 80, 2, duration=120.0) for _ in range(3)]
    spikes = SpikeBatch.from_patterns([s[0] for s, _ in parts], 80, 120.0)
    targets = [parts[0][1], parts[1][1], np.empty(0)]
    both = solve(spikes, targets)[1].certificate
    alone = solve(spikes[[0]], targets[:1])[1].certificate
    assert both.status == "certified" and both.up <= alone.up * (1 + 1e-6)
