"""Golden numbers: roots of the same equations in arithmetic of at least 22 digits; properties the equations imply."""

import math

import numpy as np
import pytest
from scipy import integrate

from tessera.balanced import finite_size, theory
from tessera.balanced.theory import Afferents

FIG3 = Afferents(f_exc=0.8, p_out=0.1, cv_ratio=math.sqrt(2), sd_ratio=2.0)
LEARNING = Afferents(f_exc=0.8, p_out=0.5)
EXACT = {"rel": 1e-8, "abs": 0}


@pytest.mark.parametrize(
    ("p_out", "alpha_c"),
    [(0.01, 9.59864290887), (0.05, 3.04142260541), (0.1, 1.95645092694), (0.2, 1.33379729574), (0.5, 1.0)],
)
def test_capacity_is_half_of_the_unsigned_one(p_out, alpha_c):
    assert theory.critical_loads(0.8, p_out, 1.0)[0] == pytest.approx(alpha_c, **EXACT)


@pytest.mark.parametrize(("p_out", "threshold"), [(0.1, 0.861592112416), (0.2, 0.549155821099), (0.5, 0.0)])
def test_threshold_without_margin(p_out, threshold):
    assert theory.pattern_threshold(0.0, p_out) == pytest.approx(threshold, rel=1e-8, abs=1e-15)


@pytest.mark.parametrize(
    ("p_out", "cv_ratio", "fraction", "alpha_b", "multiplier"),
    [
        (0.1, math.sqrt(0.5), 0.414213562373, 1.24909604590, 0.763040740077),
        (0.1, math.sqrt(2), 0.585786437627, 1.67364140253, 0.353743653233),
        (0.1, 1.0, 0.5, 1.46682778049, 0.549155821099),
        (0.5, 1.0, 0.5, 0.749739111927, 0.549155821099),
    ],
)
def test_balanced_capacity(p_out, cv_ratio, fraction, alpha_b, multiplier):
    assert theory.optimal_fraction(cv_ratio) == pytest.approx(fraction, **EXACT)
    assert theory.critical_loads(0.8, p_out, cv_ratio)[1] == pytest.approx(alpha_b, **EXACT)
    assert theory.balancing_multiplier(Afferents(0.8, p_out, cv_ratio)) == pytest.approx(multiplier, **EXACT)


def test_balanced_capacity_over_the_excitatory_fraction():
    phi = math.sqrt(0.5)
    fractions = [0.1, 0.2, theory.optimal_fraction(phi), 0.5, 0.7, 0.8, 0.95]
    expected = [
        1.23899423487,
        1.67364140253,
        1.95645092694,
        1.92017292002,
        1.57095209778,
        1.24909604590,
        0.481277076192,
    ]
    alpha_c, alpha_b = theory.critical_loads(fractions, 0.1, phi)
    np.testing.assert_allclose(alpha_b, expected, rtol=1e-8)
    assert np.all(alpha_b <= alpha_c * (1 + 1e-12))
    assert alpha_b[2] == pytest.approx(alpha_c[2], rel=1e-12)


MARGINS = [  # alpha, max kappa_in, IB, kappa_out sqrt(N) of that solution, max kappa_out / Gamma
    (0.25, 2.2512988386, 0.0669110245, 41.820215483, 2.2468518733),
    (0.50, 1.2651481501, 0.198604081, 8.3682398640, 1.2354316267),
    (0.75, 0.81479962551, 0.286515190, 3.8938587085, 0.76023660606),
    (1.00, 0.53878979734, 0.348531982, 2.1827512341, 0.46353308169),
    (1.50, 0.19831297031, 0.429902831, 0.67903861466, 0.092182206551),
]


def test_margins_over_loads():
    alpha, kappa_in, imbalance, scaled, kappa_out = np.array(MARGINS).T
    result = theory.margins(alpha, FIG3)
    np.testing.assert_allclose(result["kappa_in"], kappa_in, rtol=1e-8)
    np.testing.assert_allclose(result["imbalance"], imbalance, rtol=1e-8)
    np.testing.assert_allclose(result["kappa_out_of_kappa_in"], scaled, rtol=1e-8)
    np.testing.assert_allclose(result["kappa_out"], kappa_out, rtol=1e-8)
    assert np.isnan(result["kappa_0"]).all()


def test_margins_of_the_learning_set():
    assert theory.kappa_in_solution(0.3, LEARNING).kappa_in == pytest.approx(0.87492437229, **EXACT)
    assert theory.kappa_in_solution(0.3, LEARNING, balanced=True).kappa_in == pytest.approx(0.63997029008, **EXACT)


def test_scaled_output_margin_above_the_balanced_capacity():
    alpha_b = float(theory.critical_loads(0.8, 0.1, math.sqrt(2))[1])
    assert theory.kappa_0(1.7, FIG3) == pytest.approx(0.48585651752, **EXACT)
    assert theory.kappa_0(1.9, FIG3) == pytest.approx(0.069649967772, **EXACT)
    assert theory.kappa_0(alpha_b, FIG3) == pytest.approx(0.713056168437, **EXACT)
    gaps = [0.713056168437 - theory.kappa_0(alpha_b * (1 + distance), FIG3) for distance in (1e-4, 1e-6)]
    assert gaps[0] / gaps[1] == pytest.approx(10, rel=0.02)  # the limit is met as sqrt(alpha - alpha_b)


def test_max_kappa_in_is_balanced_at_small_loads():
    assert theory.kappa_in_solution(0.15704, FIG3).balanced
    assert not theory.kappa_in_solution(0.15705, FIG3).balanced


@pytest.mark.parametrize(
    ("n", "alpha", "value"), [(200, 0.5, 1.2131), (800, 0.5, 1.2249), (200, 1.0, 0.4515), (800, 1.0, 0.4574)]
)
def test_value_at_finite_size(n, alpha, value):
    assert finite_size.of_max_kappa_out(alpha, FIG3, n, 1.0).kappa_out == pytest.approx(value, rel=1e-4)


def test_finite_size_tends_to_the_limit():
    limit = theory.kappa_in_solution(0.5, FIG3, balanced=True)
    solution = finite_size.of_max_kappa_out(0.5, FIG3, 10**12, 1.0)
    assert solution.kappa_out == pytest.approx(limit.kappa_in, rel=1e-6)
    assert solution.side.z_inh == pytest.approx(limit.side.z_inh / limit.side.z_exc, rel=1e-3)


def test_finite_size_of_max_kappa_in():
    inverse = [
        1 / finite_size.of_max_kappa_in(theory.kappa_in_solution(1.0, FIG3), FIG3, n).kappa_out for n in (100, 400)
    ]
    assert (inverse[1] - inverse[0]) / 10 == pytest.approx(0.4581, abs=1e-4)  # 1/kappa_out is linear in sqrt(N)
    assert 2 * inverse[0] - inverse[1] == pytest.approx(2.246, abs=1e-3)
    lif = finite_size.of_max_kappa_in(theory.kappa_in_solution(1.0, FIG3), FIG3, 1000)
    assert (lif.kappa_out, lif.norm) == pytest.approx((0.0598, 0.1109), abs=1e-4)
    with pytest.raises(ValueError, match="balanced"):
        finite_size.of_max_kappa_in(theory.kappa_in_solution(0.1, FIG3), FIG3, 1000)


def test_output_margin_grows_with_the_bound_on_the_norm():
    bounds = [0.05, 0.2, 0.5, 1.0, 2.0]
    values = [finite_size.of_max_kappa_out(0.75, FIG3, 400, c).kappa_out for c in bounds]
    slopes = np.diff(values) / np.diff(bounds)
    assert np.all(slopes > 0) and np.all(np.diff(slopes) < 0)  # V is concave


def test_weight_law_is_a_distribution():
    solution = finite_size.of_max_kappa_out(1.0, FIG3, 400, 1.0)
    norm_sq = 0.0
    for law, count in zip(finite_size.weight_laws(solution, FIG3, 400), (320, 80), strict=True):
        mass = integrate.quad(law.density, 0, 40 * law.scale)[0]
        assert mass + law.silent == pytest.approx(1.0, abs=1e-9)
        norm_sq += count * integrate.quad(lambda w, law=law: w**2 * law.density(w), 0, 40 * law.scale)[0]
    assert norm_sq == pytest.approx(1.0, rel=1e-9)  # the laws carry the whole norm


@pytest.mark.parametrize("f_exc", [0.05, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("cv_ratio", [0.3, 1.0, 2.5])
def test_balanced_capacity_is_symmetric_under_exchange_of_types(f_exc, cv_ratio):
    _, ours = theory.critical_loads(f_exc, 0.2, cv_ratio)
    _, exchanged = theory.critical_loads(1 - f_exc, 0.2, 1 / cv_ratio)
    assert ours == pytest.approx(float(exchanged), rel=1e-10)


def test_margins_fall_with_load_and_vanish_at_capacity():
    alpha = np.linspace(0.05, 1.95, 20)
    result = theory.margins(alpha, FIG3)
    assert np.all(np.diff(result["kappa_in"]) < 0)
    assert theory.margins(1.956450, FIG3)["kappa_in"] < 1e-6


def test_moments_are_those_of_a_normal_variable():
    for x in (-3.0, -0.2, 0.0, 1.3, 6.0):
        for function, power in ((theory.first, 1), (theory.second, 2)):
            value = integrate.quad(lambda t, x=x, power=power: (t - x) ** power * theory.pdf(t), x, x + 40, epsabs=0)[0]
            assert function(x) == pytest.approx(value, rel=1e-9)
    step = 1e-5
    slope = (theory.demand(0.7 + step, 0.1) - theory.demand(0.7 - step, 0.1)) / (2 * step)
    assert theory.demand_slope(0.7, 0.1) == pytest.approx(slope, rel=1e-8)


@pytest.mark.parametrize("p_out", [1e-200, 1e-40, 1e-9, 1 - 1e-9])
def test_rare_labels(p_out):
    threshold = theory.pattern_threshold(0.0, p_out)
    balance = p_out * theory.first(-threshold), (1 - p_out) * theory.first(threshold)
    assert balance[0] == pytest.approx(balance[1], rel=1e-9)
    alpha_c, alpha_b = theory.critical_loads(0.8, p_out, 2**0.5)
    assert 5 < alpha_b < alpha_c < np.inf


def test_edges_and_bad_input():
    assert theory.critical_loads(0.0, 0.1, 1.0) == (0, 0)
    assert theory.critical_loads(1.0, 0.1, 1.0) == (pytest.approx(1.95645092694), 0)
    outside = theory.margins([0.0, 1.96, 50.0], FIG3)
    assert all(np.isnan(column).all() for column in outside.values())
    assert np.isnan(theory.margins(0.5, Afferents(0.0, 0.1))["kappa_in"])
    only_excitatory = theory.margins(0.5, Afferents(1.0, 0.1))
    assert only_excitatory["kappa_in"] > 0 and only_excitatory["kappa_out"] == 0
    for field, value in (
        ("f_exc", 1.2),
        ("f_exc", math.nan),
        ("p_out", 0.0),
        ("cv_ratio", -1.0),
        ("sd_ratio", math.inf),
    ):
        with pytest.raises(ValueError, match=field):
            Afferents(**{"f_exc": 0.8, "p_out": 0.1, field: value})
    with pytest.raises(ValueError, match="capacity"):
        theory.kappa_in_solution(2.0, FIG3)
    with pytest.raises(ValueError, match="alpha"):
        theory.kappa_0(1.0, FIG3)


@pytest.mark.parametrize("cv_ratio", [0.7, 1.4])
@pytest.mark.parametrize("f_exc", [0.2, 0.8])
def test_balanced_load_at_finite_size(f_exc, cv_ratio):
    aff = theory.Afferents(f_exc, 0.1, cv_ratio, sd_ratio=2.0)
    limit = float(theory.critical_loads(f_exc, 0.1, cv_ratio)[1])
    assert finite_size.critical_balanced_load(aff, 10**12) == pytest.approx(limit, rel=1e-5)
    load = finite_size.critical_balanced_load(aff, 200)
    # Below it, and only there, the output margin grows with the norm without bound.
    below, above = (
        [finite_size.of_max_kappa_out(share * load, aff, 200, norm).kappa_out for norm in (300.0, 3000.0)]
        for share in (0.98, 1.02)
    )
    assert below[1] > 5 * below[0] > 0
    assert above[1] < 1.01 * max(above[0], 0) + 1e-6
    with pytest.raises(ValueError, match="f_exc: 1"):
        finite_size.critical_balanced_load(theory.Afferents(1.0, 0.1), 200)
