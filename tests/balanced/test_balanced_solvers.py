"""Margins against other solvers, stored optima, and bounds that hold for any feasible weights."""

import numpy as np
import pytest
from scipy import sparse

from tessera.balanced import samples, separability, solvers
from tessera.balanced.interior_point import Program, upper_bound
from tessera.balanced.patterns import DensePatterns, NetworkPatterns
from tessera.balanced.theory import Afferents

AFFERENTS = Afferents(f_exc=0.8, p_out=0.1, cv_ratio=2**0.5, sd_ratio=2.0)


def fixture(n, count, seed=0):
    """Task whose optima are stored below; its labels are independent, unlike those of samples.py."""
    r = np.random.default_rng(seed)
    n_exc = round(0.8 * n)
    X = np.hstack([r.exponential(size=(count, n_exc)), np.sqrt(2) * r.gamma(2.0, size=(count, n - n_exc))])
    y = np.where(r.random(count) < 0.1, 1.0, -1.0)
    return X, y, samples.signs_of(n, 0.8)


def task(n, count, seed=0):
    return samples.gaussian(np.random.default_rng(seed), n, count, AFFERENTS)


def piqp_kappa_in(X, y, signs):
    """1/|w| of min |w|^2/2 subject to y (w.x - theta) >= 1, g w >= 0, theta >= 0."""
    piqp = pytest.importorskip("piqp")
    count, n = X.shape
    solver = piqp.DenseSolver()
    solver.settings.eps_abs = solver.settings.eps_rel = 1e-9
    solver.settings.verbose = False
    quadratic = np.diag(np.r_[np.ones(n), 0.0])
    rows = np.hstack([y[:, None] * X * signs, -y[:, None]])
    solver.setup(quadratic, np.zeros(n + 1), None, None, rows, np.ones(count), None, np.zeros(n + 1), None)
    assert solver.solve() == piqp.PIQP_SOLVED
    return 1 / np.linalg.norm(solver.result.x[:n])


def clarabel_kappa_out(X, y, signs, norm):
    """max kappa subject to y (w.x - 1) >= kappa, g w >= 0, |w| <= norm, as a second-order cone program."""
    clarabel = pytest.importorskip("clarabel")
    count, n = X.shape
    margin = np.hstack([-y[:, None] * X * signs, np.ones((count, 1))])
    cone = np.vstack([np.zeros((1, n + 1)), np.eye(n, n + 1)])
    rows = sparse.csc_matrix(np.vstack([margin, -np.eye(n, n + 1), -cone]))
    right = np.r_[-y, np.zeros(n), norm, np.zeros(n)]
    cones = [clarabel.NonnegativeConeT(count + n), clarabel.SecondOrderConeT(n + 1)]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-8
    cost = np.r_[np.zeros(n), -1.0]
    solution = clarabel.DefaultSolver(sparse.csc_matrix((n + 1, n + 1)), cost, rows, right, cones, settings).solve()
    assert str(solution.status) == "Solved"
    return solution.x[-1]


@pytest.mark.parametrize(("n", "count"), [(60, 40), (50, 80), (120, 120)])
def test_kappa_in_agrees_with_piqp(n, count):
    X, y, g = task(n, count)
    result = solvers.max_kappa_in(X, y, g)
    assert result.status == "optimal"
    assert result.kappa == pytest.approx(piqp_kappa_in(X, y, g), rel=1e-6)


@pytest.mark.parametrize(("n", "count", "norm"), [(60, 40, 1.0), (50, 80, 0.5), (50, 70, 30.0), (40, 70, 1.0)])
def test_kappa_out_agrees_with_clarabel(n, count, norm):
    X, y, g = task(n, count)
    result = solvers.max_kappa_out(X, y, g, norm)
    assert result.kappa == pytest.approx(clarabel_kappa_out(X, y, g, norm), rel=1e-6, abs=1e-7)
    assert result.norm <= norm * (1 + 1e-12)


def test_stored_optima():
    X, y, g = fixture(500, 500)
    assert (int((y > 0).sum()), X.sum()) == (45, pytest.approx(341547.9229, abs=1e-4))
    assert solvers.max_kappa_in(X, y, g).kappa == pytest.approx(0.60048783, abs=1e-8)
    assert solvers.max_kappa_out(X, y, g, 1.0).kappa == pytest.approx(0.50948213, abs=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "count", "plus", "total", "kappa_in", "kappa_out"),
    [(1000, 1500, 150, 2048593.3927, 0.14344080, 0.05185696), (3000, 900, 87, 3685569.6157, 2.0478801, 2.03175)],
)
def test_stored_optima_of_large_tasks(n, count, plus, total, kappa_in, kappa_out):
    X, y, g = fixture(n, count)
    assert (int((y > 0).sum()), X.sum()) == (plus, pytest.approx(total, abs=1e-4))
    assert solvers.max_kappa_in(X, y, g).kappa == pytest.approx(kappa_in, rel=5e-8)
    assert solvers.max_kappa_out(X, y, g, 1.0).kappa == pytest.approx(kappa_out, rel=2.5e-6)


@pytest.mark.parametrize("count", [30, 60, 90])
def test_certificates_hold(count):
    X, y, g = task(60, count)
    for result, scale in ((solvers.max_kappa_in(X, y, g), None), (solvers.max_kappa_out(X, y, g, 0.8), 0.8)):
        assert np.all(g * result.w >= 0)
        assert 0.05 < np.mean(result.w == 0) < 0.95  # silent synapses are exactly so
        kappa_in, kappa_out = solvers.margins(result.w, X, y)
        assert (kappa_in if scale is None else kappa_out) == pytest.approx(result.kappa, rel=1e-9, abs=1e-12)
        lam = result.certificate.multipliers
        assert lam.min() >= 0 and lam.sum() == pytest.approx(1.0)
        reach = np.linalg.norm(np.maximum(g * ((lam * y) @ X), 0))
        bound = reach if scale is None else scale * reach - lam @ y
        assert bound == pytest.approx(result.certificate.dual, rel=1e-9)
        assert scale is not None or lam @ y >= -1e-12
        assert result.certificate.gap < 1e-6
        assert result.kappa <= bound + 1e-12


def test_any_multipliers_bound_any_weights():
    X, y, g = task(30, 20)
    rng = np.random.default_rng(1)
    program = Program(DensePatterns(y[:, None] * X * g), y[None], np.array([[0.7]]))
    for _ in range(50):
        _, bound = upper_bound(program, rng.exponential(size=(1, 20)))
        w = g * rng.exponential(size=30)
        assert solvers.margins(0.7 * w / np.linalg.norm(w), X, y)[1] <= bound[0]


def test_value_is_concave_in_the_norm_and_touches_the_tangent_at_max_kappa_in():
    X, y, g = task(60, 60)
    best = solvers.max_kappa_in(X, y, g)
    bounds = best.norm * np.array([0.5, 0.9, 1.0, 1.1, 2.0])
    values = np.array([solvers.max_kappa_out(X, y, g, c).kappa for c in bounds])
    assert np.all(np.diff(np.diff(values) / np.diff(bounds)) < 0)
    np.testing.assert_array_less(values / bounds, best.kappa * (1 + 1e-7))
    assert values[2] / bounds[2] == pytest.approx(best.kappa, rel=1e-7)


def test_bound_on_the_norm_of_max_kappa_in():
    X, y, g = task(60, 60)
    free = solvers.max_kappa_in(X, y, g)
    loose = solvers.max_kappa_in(X, y, g, norm=1.1 * free.norm)
    tight = solvers.max_kappa_in(X, y, g, norm=0.9 * free.norm)
    assert (loose.status, loose.kappa) == ("optimal", free.kappa)
    assert tight.status == "norm_bound" and tight.norm == pytest.approx(0.9 * free.norm, rel=1e-7)
    assert tight.kappa < free.kappa and tight.kappa == pytest.approx(solvers.margins(tight.w, X, y)[0], rel=1e-7)


def test_inseparable_task_is_proved_so():
    X, y, g = task(40, 160)
    result = solvers.max_kappa_in(X, y, g)
    assert result.status == "inseparable" and np.isnan(result.w).all()
    lam = result.certificate.multipliers
    assert lam.min() >= 0 and np.max(g * ((lam * y) @ X)) < 0 and lam @ y >= -1e-12  # Farkas
    within = solvers.max_kappa_out(X, y, g, 1.0)
    assert within.status == "inseparable_within_norm" and within.kappa <= 0 and within.certificate.gap < 1e-6


@pytest.mark.parametrize("balanced", [False, True])
def test_feasibility_agrees_with_linear_programming(balanced):
    from scipy.optimize import linprog

    outcomes = set()
    for seed in range(12):
        X, y, g = task(30, 48 if balanced else 57, seed)
        found = separability.feasibility(X, y, g, balanced)
        # max t <= 1 subject to y (w.x - theta) >= t, sum g w <= N
        rows = np.hstack([-y[:, None] * X * g, y[:, None] * (not balanced), np.ones((len(y), 1))])
        rows = np.vstack([rows, np.r_[np.ones(30), 0, 0]])
        bounds = [(0, None)] * 31 + [(None, 1)]
        reference = linprog(np.r_[np.zeros(31), -1], rows, np.r_[np.zeros(len(y)), 30.0], bounds=bounds)
        assert found.status == ("feasible" if -reference.fun > 1e-7 else "infeasible")
        outcomes.add(found.status)
    assert outcomes == {"feasible", "infeasible"}


def test_warm_start_gives_the_same_answer_in_fewer_steps():
    X, y, g = task(150, 120)
    near = solvers.max_kappa_out(X, y, g, 1.0)
    cold, warm = solvers.max_kappa_out(X, y, g, 1.05), solvers.max_kappa_out(X, y, g, 1.05, start=near)
    assert warm.kappa == pytest.approx(cold.kappa, rel=1e-7)
    assert warm.certificate.iterations < cold.certificate.iterations
    best = solvers.max_kappa_in(X, y, g)
    again = solvers.max_kappa_in(X, y, g, start=best)
    assert again.kappa == pytest.approx(best.kappa, rel=1e-7)
    assert again.certificate.iterations < best.certificate.iterations


def test_kappa_in_of_a_small_load_has_no_finite_norm():
    # At theta = 0 the margin is largest: both patterns are mirror images in balanced directions.
    X = np.array([[2.0, 0.0], [0.0, 2.0]])
    result = solvers.max_kappa_in(X, [1, -1], [1, -1])
    assert result.status == "unbounded_norm"
    assert result.norm == pytest.approx(1.0) and result.kappa == pytest.approx(np.sqrt(2), rel=1e-6)


@pytest.mark.parametrize("f_exc", [0.0, 1.0])
def test_one_type_alone(f_exc):
    aff = Afferents(f_exc, AFFERENTS.p_out, AFFERENTS.cv_ratio, AFFERENTS.sd_ratio)
    X, y, g = samples.exponential_gamma(np.random.default_rng(0), 40, 20, aff)
    result = solvers.max_kappa_in(X, y, g)
    if f_exc == 0:  # inhibition cannot cross the threshold
        assert result.status == "inseparable"
        assert solvers.max_kappa_out(X, y, g, 1.0).status == "inseparable_within_norm"
    else:
        assert result.status == "optimal" and result.kappa == pytest.approx(piqp_kappa_in(X, y, g), rel=1e-6)
    assert separability.feasibility(X, y, g, balanced=True).status == "infeasible"


def test_malformed_input_is_named():
    X, y, g = task(20, 10)
    spoilt = X.copy()
    spoilt[3, 4] = np.nan
    for arguments, message in (
        ((spoilt, y, g), r"X\[3, 4\]: nan"),
        ((X, np.ones(10), g), "y: all labels are"),
        ((X, y * 2, g), r"y\[0\]: .*neither"),
        ((X, y, np.zeros(20)), r"signs\[0\]: 0.0"),
        ((X, y[:-1], g), "y: shape"),
        ((X[0], y, g), "X: shape"),
    ):
        for call in (solvers.max_kappa_in, separability.feasibility, lambda *a: solvers.max_kappa_out(*a, 1.0)):
            with pytest.raises(ValueError, match=message):
                call(*arguments)
    with pytest.raises(ValueError, match="norm: -1"):
        solvers.max_kappa_out(X, y, g, -1.0)


def test_batched_patterns_are_the_dense_ones():
    rng = np.random.default_rng(2)
    x, _, g = samples.memories(rng, 24, 10, 0.8, 0.3, 0.2)
    neurons = np.array([0, 5, 23])
    batch = NetworkPatterns(x, g, neurons)
    d, e = rng.uniform(0.5, 2, (3, 24)), rng.uniform(0.5, 2, (3, 10))
    fw, fs = rng.normal(size=(3, 24, 2)), rng.normal(size=(3, 10, 2))
    dw, dl = batch.factor(d, e)(fw, fs)
    for i, neuron in enumerate(neurons):
        rows = (2 * x[:, neuron] - 1)[:, None] * x * g
        rows[:, neuron] = 0
        one = DensePatterns(rows)
        np.testing.assert_allclose(batch.forward(fw[:, :, 0])[i], one.forward(fw[i : i + 1, :, 0])[0], atol=1e-12)
        np.testing.assert_allclose(batch.backward(fs[:, :, 0])[i], one.backward(fs[i : i + 1, :, 0])[0], atol=1e-12)
        kkt = np.block([[np.diag(d[i]), -rows.T], [rows, np.diag(e[i])]])
        reference = np.linalg.solve(kkt, np.vstack([fw[i], fs[i]]))
        for step in (
            (dw[i], dl[i]),
            [v[0] for v in one.factor(d[i : i + 1], e[i : i + 1])(fw[i : i + 1], fs[i : i + 1])],
        ):
            np.testing.assert_allclose(np.vstack(step), reference, atol=1e-10)


@pytest.mark.parametrize("norm", [None, 0.8])
def test_network_is_its_neurons(norm):
    x, _, g = samples.memories(np.random.default_rng(3), 40, 12, 0.8, 0.3, 0.2)
    result = solvers.train_network(x, g, norm)
    assert np.all(np.diag(result.weights) == 0)
    for neuron in (0, 17, 39):
        others = np.arange(40) != neuron
        X, y, signs = x[:, others], 2 * x[:, neuron] - 1, g[others]
        one = solvers.max_kappa_in(X, y, signs) if norm is None else solvers.max_kappa_out(X, y, signs, norm)
        assert result.kappa[neuron] == pytest.approx(one.kappa, rel=1e-5)
        np.testing.assert_allclose(result.weights[neuron, others], one.w, atol=1e-2 * np.abs(one.w).max())
    x[:, 7] = 0
    with pytest.raises(ValueError, match="neuron 7 is 0 in every memory"):
        solvers.train_network(x, g, norm)


@pytest.mark.parametrize("count", [30, 60, 100])
def test_silent_synapses_are_told_apart_by_their_reduced_cost(count):
    X, y, g = task(60, count)
    for result in (solvers.max_kappa_in(X, y, g), solvers.max_kappa_out(X, y, g, 0.8)):
        silent, share = solvers.silent(result, X, y, g), np.abs(result.w) / result.norm
        assert share[silent].max() < 1e-6 < 1e-4 < share[~silent].min()
        assert np.all(silent[result.w == 0])


def test_silence_needs_weights():
    X, y, g = task(20, 100)
    with pytest.raises(ValueError, match="inseparable, without weights"):
        solvers.silent(solvers.max_kappa_in(X, y, g), X, y, g)
