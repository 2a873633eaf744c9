"""Proposals: pure, within the rules, and uniform where nothing can be learned."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from tessera.bayesopt import edges
from tessera.bayesopt import propose as proposing
from tessera.bayesopt.gp import Hyper, Posterior
from tessera.bayesopt.propose import Data
from tessera.bayesopt.settings import Settings
from tessera.bayesopt.space import Space

SQUARE = Space({name: {"kind": "float", "low": 0.0, "high": 1.0} for name in "ab"})
NOBODY = np.zeros((0, 2))


def bowl(n: int, centre: tuple[float, float] = (0.4, 0.7), seed: int = 0) -> Data:
    X = np.random.default_rng(seed).random((n, 2))
    return Data(X, ((X - centre) ** 2).sum(axis=1), np.ones(n, dtype=bool))


def settings(**options: object) -> Settings:
    return Settings(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["bop", "fubar", "thompson", "ucb"])
@pytest.mark.parametrize("inference", ["map", "slice"])
def test_proposals_are_pure_and_go_downhill(method: str, inference: str) -> None:
    options = settings(method=method, inference=inference)
    data = bowl(20)
    pending = np.array([[0.2, 0.2]])
    once, again = (proposing.propose(SQUARE, options, data, pending, 3, 7) for _ in range(2))
    assert (once.row == again.row).all()
    assert (once.theta == again.theta).all()
    assert (once.kind, once.seed) == (again.kind, again.seed)
    rows = [proposing.propose(SQUARE, options, data, pending, seed, 7).row for seed in range(9)]
    # A uniform point would be 0.42 away; samples of little known length scales go further than the best ones.
    assert np.median([np.linalg.norm(row - [0.4, 0.7]) for row in rows]) < (0.2 if inference == "map" else 0.3)


def test_the_seed_is_of_study_and_trial_alone() -> None:
    """Of data, whose last digits differ between processors, nothing enters it."""
    same = {proposing.propose(SQUARE, settings(), bowl(6, seed=i), NOBODY, 3, 8, np.full(5, i)).seed for i in range(3)}
    others = {proposing.propose(SQUARE, settings(), bowl(6), NOBODY, *case).seed for case in ((3, 9), (4, 8))}
    assert len(same) == 1
    assert len(same | others) == 3


@given(hnp.arrays(float, st.integers(3, 40), elements=st.floats(-1e6, 1e6, width=32)))
def test_a_power_keeps_the_order_and_draws_in_the_large(values: np.ndarray) -> None:
    plain, drawn = proposing.standardise(values), proposing.standardise(values, "yeo-johnson")
    order = np.argsort(plain, kind="stable")
    assert (np.diff(drawn[order]) >= -1e-9).all()
    assert np.isfinite(drawn).all()
    if plain.any():
        assert abs(drawn.mean()) < 1e-9 and drawn.std() == pytest.approx(1)


def test_a_power_makes_a_heavy_tail_light() -> None:
    values = np.exp(2 * np.random.default_rng(0).standard_normal(200))
    assert stats.skew(proposing.standardise(values)) > 3
    assert abs(stats.skew(proposing.standardise(values, "yeo-johnson"))) < 1
    normal = np.random.default_rng(1).standard_normal(200)
    assert np.allclose(proposing.standardise(normal), proposing.standardise(normal, "yeo-johnson"), atol=1e-3)


def test_the_first_points_are_uniform() -> None:
    rows = np.array([proposing.propose(SQUARE, settings(), bowl(3), NOBODY, seed, 3).row for seed in range(400)])
    assert stats.kstest(rows.ravel(), "uniform").pvalue > 1e-3


@pytest.mark.parametrize("rule", ["hard", "evidence"])
@pytest.mark.parametrize("method", ["bop", "fubar"])
def test_profile_of_a_constant_objective_is_uniform(method: str, rule: str) -> None:
    """Where no point is better than another, none is preferred: not the edges, not the middle."""
    options = settings(method=method, edges=rule)
    depths = []
    for seed in range(40):
        X = np.random.default_rng(seed).random((24, 2))
        data = Data(X, np.full(24, 3.25), np.ones(24, dtype=bool))
        row = proposing.propose(SQUARE, options, data, NOBODY, seed, 24).row
        depths.append(np.minimum(row, 1 - row).min())
    # The least distance to a bound of a uniform point: P(depth > d) = (1 - 2 d)^2.
    assert stats.kstest(depths, lambda d: 1 - (1 - 2 * np.asarray(d)) ** 2).pvalue > 1e-3


def test_profile_of_noise_is_uniform_in_the_end() -> None:
    depths = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        data = Data(rng.random((60, 2)), rng.standard_normal(60), np.ones(60, dtype=bool))
        row = proposing.propose(SQUARE, settings(edges="hard"), data, NOBODY, seed, 60).row
        depths.append(np.minimum(row, 1 - row).min())
    assert stats.kstest(depths, lambda d: 1 - (1 - 2 * np.asarray(d)) ** 2).pvalue > 1e-3


def test_excluded_volume_is_the_same_in_any_dimension() -> None:
    for width in (1, 2, 6, 50):
        assert 1 - (1 - 2 * edges.edge_width(0.1, width)) ** width == pytest.approx(0.1)


def slanted(n: int = 25) -> Data:
    """The least value lies on the face a = 0."""
    X = np.random.default_rng(1).random((n, 2))
    return Data(X, 2 * X[:, 0] + (X[:, 1] - 0.5) ** 2, np.ones(n, dtype=bool))


def near_edge(rows: np.ndarray) -> float:
    width = edges.edge_width(0.1, 2)
    return float(((rows <= width) | (rows >= 1 - width)).any(axis=1).sum() / 12)


def test_rules_of_edges() -> None:
    """A search by the hard rule never ends at the edge; by that of evidence it does where the slope is plain."""
    found = {}
    for rule in ("hard", "evidence", "none"):
        options = settings(edges=rule)
        made = [proposing.propose(SQUARE, options, slanted(), NOBODY, seed, 25) for seed in range(12)]
        found[rule] = near_edge(np.array([one.row for one in made if one.kind == "thompson"]).reshape(-1, 2))
    assert found["hard"] == 0
    assert found["evidence"] > 0.6
    assert found["none"] > 0.6


def test_evidence_is_asked_of_the_outward_slope() -> None:
    """A model of which the slope at the face is known to point inwards refuses; one that points outwards lets pass."""
    X = np.column_stack([np.linspace(0, 1, 12), np.full(12, 0.5)])
    hyper = Hyper(0.0, 1.0, 0.01, np.array([0.5, 0.5]))
    for sign, passes in ((1.0, True), (-1.0, False)):
        posterior = Posterior(X, sign * (X[:, 0] - 0.5), hyper)
        rows = [np.array(row) for row in ((0.0, 0.5), (1.0, 0.5), (0.5, 0.5))]
        found = [edges.passes("evidence", row, SQUARE.edged, 0.02, 0.9, posterior) for row in rows]
        assert found == [passes, not passes, True]


def test_what_is_known_well_is_left_alone() -> None:
    """Where the minimum has been measured again and again, BOP looks elsewhere; without the floor it may come back."""
    rng = np.random.default_rng(2)
    around = np.clip(0.5 + 0.01 * rng.standard_normal((60, 2)), 0, 1)
    X = np.concatenate([rng.random((30, 2)), around])
    y = ((X - 0.5) ** 2).sum(axis=1) + 0.05 * rng.standard_normal(90)
    data = Data(X, y, np.ones(90, dtype=bool))
    rows = [proposing.propose(SQUARE, settings(), data, NOBODY, seed, 90).row for seed in range(8)]
    posterior = proposing.condition(
        X, proposing.standardise(y), proposing.fit(X, proposing.standardise(y), settings(), np.zeros(0), rng), NOBODY,
        settings(), rng,
    )  # fmt: skip
    _, sd = posterior.mean_sd(np.array([[0.5, 0.5]]))
    assert sd[0] < 0.5 * posterior.hyper.noise
    _, spread = posterior.mean_sd(np.array(rows))
    assert (spread > sd[0]).all()


def test_pending_points_keep_others_away() -> None:
    """Eight proposals in a row, none of them told, are apart from one another."""
    data, pending = bowl(12), NOBODY
    for i in range(8):
        row = proposing.propose(SQUARE, settings(), data, pending, 0, 12 + i).row
        assert not len(pending) or np.abs(pending - row).max(axis=1).min() > 1e-4
        pending = np.concatenate([pending, row[None]])


def test_a_confidence_bound_looks_at_no_pending_points() -> None:
    """It is the null: with nothing new told, it goes to the same place, whatever is on the way."""
    options = settings(method="ucb", edges="none")
    data = bowl(12)
    first = proposing.propose(SQUARE, options, data, NOBODY, 0, 12)
    again = proposing.propose(SQUARE, options, data, first.row[None], 0, 13)
    assert first.kind == again.kind == "ucb"
    np.testing.assert_allclose(first.row, again.row, atol=1e-3)
    y = proposing.standardise(data.y)
    posterior = Posterior(data.X, y, Hyper.of(first.theta))
    mean, sd = posterior.mean_sd(np.concatenate([first.row[None], np.random.default_rng(0).random((2000, 2))]))
    bound = mean - 2 * sd
    assert bound[0] <= bound[1:].min() + 1e-3


def test_infeasible_regions_are_avoided() -> None:
    """A third of the space fails; the minimum of what works lies beside it."""
    X = np.random.default_rng(3).random((40, 2))
    feasible = X[:, 0] < 0.65
    data = Data(X, np.where(feasible, 1 - X[:, 0], np.nan), feasible)
    rows = np.array([proposing.propose(SQUARE, settings(), data, NOBODY, seed, 40).row for seed in range(16)])
    assert (rows[:, 0] < 0.7).mean() > 0.7
    assert rows[:, 0].mean() > 0.4


def test_all_failed_is_no_dead_end() -> None:
    data = Data(np.random.default_rng(0).random((10, 2)), np.full(10, np.nan), np.zeros(10, dtype=bool))
    found = proposing.propose(SQUARE, settings(), data, NOBODY, 0, 10)
    assert found.kind == "random"
    assert ((found.row >= 0) & (found.row <= 1)).all()


def test_ten_thousand_observations() -> None:
    rng = np.random.default_rng(4)
    X = rng.random((10000, 2))
    data = Data(X, ((X - 0.3) ** 2).sum(axis=1) + 0.1 * rng.standard_normal(10000), np.ones(10000, dtype=bool))
    rows = np.array([proposing.propose(SQUARE, settings(), data, X[:2] * 0.9, seed, 10000).row for seed in range(3)])
    assert ((rows >= 0) & (rows <= 1)).all()


def test_values_of_any_scale() -> None:
    for scale in (1e-200, 1e-8, 1e100):
        data = bowl(12)
        row = proposing.propose(SQUARE, settings(), Data(data.X, data.y * scale, data.feasible), NOBODY, 0, 12).row
        assert np.isfinite(row).all()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"method": "ei"}, "method = 'ei'; expected one of bop, fubar, thompson, ucb, random"),
        ({"edges": "soft"}, "edges = 'soft'"),
        ({"rho": 0.0}, "rho = 0.0; must be above 0"),
        ({"tau": 1.0}, "tau = 1.0"),
        ({"features": 0}, "features = 0"),
        ({"inducing": 600}, "inducing = 600; must be at most exact_limit"),
    ],
)
def test_bad_settings_are_refused(option: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings(**option)
