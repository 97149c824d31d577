"""The exact path of the LASSO, against formulas, scikit-learn's LARS, and its own optimality conditions."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
from sklearn.linear_model import lars_path

from implicitcg.tuning.exact.active import Support
from implicitcg.tuning.exact.checkpoint import _restore, _state
from implicitcg.tuning.exact.fold_path import FoldPath
from implicitcg.tuning.exact.path import LassoPath, PathBroken


def data(seed, n=30, p=8):
    random = np.random.default_rng(seed)
    return random.standard_normal((n, p)), random.standard_normal(n)


def gaps_along(path, knots):
    """Duality gaps at the knots and in the middle of every piece."""
    middles = [(a, (a.c + b.c) / 2) for a, b in pairwise(knots)]
    at_knots = [path.gap(knot.coef, knot.c) for knot in knots]
    return np.array(at_knots + [path.gap(path.solution(c, knot), c) for knot, c in middles])


def test_the_worked_example_has_its_two_knots_and_three_pieces():
    """X^T X = [[1, .5], [.5, 1]], X^T y = (2, 1.75): knots at 2 and 1.5, slopes (-1, 0), (-2/3, -2/3)."""
    X = np.linalg.cholesky([[1, 0.5], [0.5, 1]]).T
    y = np.linalg.solve(X.T, [2, 1.75])
    path = LassoPath(X, y, np.ones(2), False)
    knots = path.advance(0.5 / 2)  # the scaling 1/(2n) makes c half of the penalty of the example
    assert [knot.c for knot in knots] == pytest.approx([1, 0.75, 0.25], abs=1e-14)
    assert [knot.kink for knot in knots] == [True, True, False]
    np.testing.assert_allclose(knots[1].coef, [0.5, 0], atol=1e-14)
    np.testing.assert_allclose(knots[0].direction / 2, [-1, 0], atol=1e-14)
    np.testing.assert_allclose(knots[1].direction / 2, [-2 / 3, -2 / 3], atol=1e-14)
    np.testing.assert_allclose(knots[2].coef, [1.5 - 1 / 3, 1 - 1 / 3], atol=1e-14)


@pytest.mark.parametrize(("n", "p"), [(30, 8), (12, 40)])
def test_knots_are_those_of_least_angle_regression(n, p):
    X, y = data(1, n, p)
    path = LassoPath(X, y, np.ones(p), True)
    knots = [knot.c for knot in path.advance(1e-3 * path.c_max) if knot.kink]
    reference, _, _ = lars_path(X - X.mean(0), y - y.mean(), method="lasso", alpha_min=1e-3 * path.c_max)
    np.testing.assert_allclose(knots, reference[: len(knots)], rtol=1e-9)


def test_walking_in_two_stages_finds_the_same_knots():
    X, y = data(2)
    once, twice = (LassoPath(X, y, np.ones(8), True) for _ in range(2))
    whole = [knot.c for knot in once.advance(1e-4) if knot.kink]
    parts = [knot.c for knot in twice.advance(0.1) + twice.advance(1e-4) if knot.kink]
    assert whole == parts


def test_weights_scale_the_bounds_and_a_zero_weight_leaves_a_feature_unpenalised():
    X, y = data(3)
    weights = np.array([0, 1, 2, 0.5, 1, 1, 3, 1.0])
    path = LassoPath(X, y, weights, True)
    knots = path.advance(1e-3 * path.c_max)
    assert knots[0].coef[0] != 0
    assert np.max(np.abs(np.delete(knots[0].coef, 0))) == 0
    assert gaps_along(path, knots).max() < 1e-12


def test_duplicated_and_dependent_columns_are_exchanged_at_the_knots_and_every_piece_stays_optimal():
    X, y = data(4)
    mixed = np.concatenate([X, X[:, :1], 2 * X[:, 1:2], X[:, 2:3] + X[:, 3:4], np.ones((30, 1))], axis=1)
    mixed /= np.linalg.norm(mixed, axis=0)
    path = LassoPath(mixed, y, np.ones(12), True)
    knots = path.advance(1e-4 * path.c_max)
    assert gaps_along(path, knots).max() < 1e-11
    assert len(path.active) <= 8


def test_a_response_without_correlation_has_an_empty_path():
    X, _ = data(5)
    path = LassoPath(X, np.full(30, 3.7), np.ones(8), True)
    assert path.c_max == 0
    (knot,) = path.advance(0.0)
    assert not knot.coef.any()


def test_many_features_have_the_path_that_all_of_them_have_though_few_are_looked_at():
    """Of 900 features 140 are near; the correlated ones that join far down must be found when all are looked at."""
    random = np.random.default_rng(6)
    X = np.cumsum(random.standard_normal((20, 900)), axis=1)
    y = X[:, 400] / 20 + random.standard_normal(20)
    path = LassoPath(X, y, np.ones(900), True)
    assert not path.near.everything
    whole = LassoPath(X, y, np.ones(900), True)
    whole.near.add_all()
    whole.near.look = lambda *_: None
    near, every = (walk.advance(1e-3 * walk.c_max) for walk in (path, whole))
    np.testing.assert_allclose([knot.c for knot in near], [knot.c for knot in every], rtol=1e-9)
    assert gaps_along(path, near).max() < 1e-12
    path.near.look(np.zeros(900), path.active)  # the wrong ones are near: it returns and finds the others
    again = path.advance(1e-4 * path.c_max)
    assert gaps_along(path, again).max() < 1e-12


def test_units_of_sixty_decades_change_no_knot_though_features_are_looked_at_in_single_precision():
    X, y = data(8, 60, 900)
    units = 10.0 ** np.random.default_rng(9).uniform(-30, 30, 900)
    plain, scaled = LassoPath(X, y, np.ones(900), True), LassoPath(X * units, y, units, True)
    assert not scaled.near.everything
    ends, same = (path.advance(1e-4 * path.c_max) for path in (plain, scaled))
    # columns times their units are rounded once, which the condition of 59 active ones of 60 rows makes larger
    np.testing.assert_allclose([knot.c for knot in same], [knot.c for knot in ends], rtol=1e-8)
    np.testing.assert_allclose(same[-1].coef * units, ends[-1].coef, atol=1e-9)


def test_a_factor_that_features_joined_and_left_is_that_of_those_that_stayed():
    X, _ = data(10, 60, 50)
    random = np.random.default_rng(11)
    for gram in (None, X.T @ X / 60):
        most, support = 0, Support(X, 0.1, gram)
        for _ in range(150):
            if support.count and random.random() < 0.3:
                support.leave(int(random.integers(support.count)))
            elif support.count < 50:
                feature = int(random.choice(np.setdiff1d(np.arange(50), support.active)))
                row = support.row(feature)
                support.join(feature, 1.0, row, *support.reduce(*row))
            most = max(most, support.count)
            block = X[:, support.active].T @ X[:, support.active] / 60 + 0.1 * np.eye(support.count)
            right = random.standard_normal((support.count, 2))
            # a condition below 100, times the rounding
            np.testing.assert_allclose(block @ support.solve(right), right, atol=1e-12)
        assert most > 32  # where its arrays have grown


@pytest.mark.parametrize(("n", "p"), [(20, 900), (40, 10)])
def test_a_walk_put_back_from_its_checkpoint_goes_on_with_the_same_bits(n, p):
    X, y = data(7, n, p)
    whole, resumed = (FoldPath(LassoPath(X[:-5], y[:-5], np.ones(p), True), X[-5:], y[-5:]) for _ in range(2))
    top = whole.path.c_max
    whole.extend(0.3 * top)
    _restore(resumed, {name: np.array(kept) for name, kept in _state(whole).items()})
    for fold in (whole, resumed):
        fold.extend(0.01 * top)
    np.testing.assert_array_equal(whole.c, resumed.c)
    np.testing.assert_array_equal(whole.predictions, resumed.predictions)
    np.testing.assert_array_equal(whole.coefficients(0.05 * top), resumed.coefficients(0.05 * top))


def test_a_path_that_broke_says_so_from_another_process_too():
    broken = pickle.loads(pickle.dumps(PathBroken(0.25, "columns swap")))
    assert broken.c == 0.25 and "stops at penalty 0.25: columns swap" in str(broken)
