"""Regularisation paths: exact at every penalty, with derivatives and every knot."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import lars_path

import implicitcg as icg
from implicitcg.tuning.exact.path import LassoPath


def diabetes(p=10):
    X, y = load_diabetes(return_X_y=True)
    return X[:, :p] / X.std(axis=0)[:p], y - y.mean()


def exact_slope(X, w):
    S = np.flatnonzero(w)
    slope = np.zeros_like(w)
    slope[S] = -len(X) * np.linalg.solve(X[:, S].T @ X[:, S], np.sign(w[S]))
    return slope


@pytest.mark.parametrize("shape", [(442, 10), (30, 80)])
def test_solutions_slopes_and_knots_agree_with_exact_formulas_and_with_lars(shape):
    rng = np.random.default_rng(0)
    X, y = diabetes() if shape[0] == 442 else (rng.standard_normal(shape), rng.standard_normal(shape[0]))
    found = icg.path(icg.lasso, X, y, n_alphas=25, ratio=1e-3)
    assert found.complete and found.converged.all() and found.gap.max() < 1e-13
    knots, _, coefs = lars_path(X, y, method="lasso")
    exact = np.stack([np.interp(-np.asarray(found.alphas), -knots, c) for c in coefs])
    np.testing.assert_allclose(found.coef.T, exact, atol=1e-9 * np.abs(exact).max())
    inside = knots[(knots < found.alphas[0] * (1 - 1e-9)) & (knots > found.alphas[-1])]
    ours = found.knots[found.features != 0]
    np.testing.assert_allclose(ours[ours < found.alphas[0] * (1 - 1e-9)], inside, rtol=1e-9)
    for w, slope in zip(found.coef[1:], found.slope[1:], strict=True):
        np.testing.assert_allclose(slope, exact_slope(X, np.asarray(w)), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("shape", [(60, 9), (12, 40)])
def test_the_walk_on_slots_and_the_walk_on_the_host_agree_at_every_knot(shape):
    """One homotopy twice: `icg.path` in JAX, under `jit` and `vmap`, and that of `icg.tune`, which compiles nothing."""
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal(shape) * np.geomspace(0.1, 10, shape[1]), rng.standard_normal(shape[0])
    weights = np.geomspace(0.3, 3, shape[1])
    host = LassoPath(X, y, weights, True)
    walked = [knot for knot in host.advance(1e-3 * host.c_max) if knot.kink]
    knots = np.array([knot.c for knot in walked])
    slots = icg.path(lambda X, y, a: icg.lasso(X, y, a * weights, fit_intercept=True), X, y, knots)
    passed = np.asarray(slots.knots)[np.asarray(slots.features) != 0]
    # the ends are knots themselves, and belong to the stretch to rounding only
    np.testing.assert_allclose(
        passed[(passed < knots[0] * (1 - 1e-9)) & (passed > knots[-1] * (1 + 1e-9))], knots[1:-1], rtol=1e-9
    )
    coefs = np.array([knot.coef for knot in walked])
    np.testing.assert_allclose(slots.coef, coefs, atol=1e-9 * np.abs(coefs).max())
    middles = (knots[1:] + knots[:-1]) / 2
    between = icg.path(lambda X, y, a: icg.lasso(X, y, a * weights, fit_intercept=True), X, y, middles)
    directions = np.array([knot.direction for knot in walked[:-1]])
    np.testing.assert_allclose(between.slope, directions, atol=1e-9 * np.abs(directions).max())


def test_the_knots_of_the_worked_example():
    # X^T X = [[1, .5], [.5, 1]], X^T y = (2, 1.75): features enter at c = 2 and c = 1.5, in units of n alpha
    root = np.linalg.cholesky(np.array([[1.0, 0.5], [0.5, 1.0]])).T
    y = np.linalg.solve(root.T, [2.0, 1.75])
    found = icg.path(icg.lasso, root, y, jnp.array([2.5, 1.75, 1.0]) / 2)
    np.testing.assert_allclose(found.coef, [[0, 0], [0.25, 0], [5 / 6, 1 / 3]], atol=1e-12)
    np.testing.assert_allclose(found.slope / 2, [[0, 0], [-1, 0], [-2 / 3, -2 / 3]], atol=1e-12)
    np.testing.assert_allclose(found.knots[:3] * 2, [2, 1.5, 0], atol=1e-12)
    np.testing.assert_array_equal(found.features[:3], [1, 2, 0])


def test_folds_under_vmap_are_the_folds_one_by_one():
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((3, 20, 30)), rng.standard_normal((3, 20))
    model = partial(icg.lasso, fit_intercept=True)
    alphas = np.geomspace(0.3, 0.02, 6)
    batch = jax.vmap(lambda X, y: icg.path(model, X, y, alphas))(X, y)
    for i in range(3):
        single = icg.path(model, X[i], y[i], alphas)
        for leaf, expected in zip(jax.tree.leaves(batch), jax.tree.leaves(single), strict=True):
            np.testing.assert_allclose(leaf[i], expected, rtol=1e-9, atol=1e-11)
        direct = icg.solve(model(X[i], y[i], alphas[-1])).value
        np.testing.assert_allclose(single.coef[-1], direct.coef, atol=1e-10)
        np.testing.assert_allclose(single.intercept[-1], direct.intercept, atol=1e-10)


def test_float32_stays_float32_and_converges():
    X, y = diabetes()
    found = icg.path(icg.lasso, X.astype(np.float32), y.astype(np.float32), n_alphas=10)
    assert found.coef.dtype == found.slope.dtype == jnp.float32 and found.converged.all()
    np.testing.assert_allclose(found.coef, icg.path(icg.lasso, X, y, n_alphas=10).coef, rtol=2e-3, atol=2e-3)


def test_duplicated_columns_do_not_stop_a_path():
    X, y = diabetes(5)
    found = icg.path(icg.lasso, np.concatenate([X, X], axis=1), y, n_alphas=10)
    single = icg.path(icg.lasso, X, y, n_alphas=10)
    np.testing.assert_allclose(found.coef[:, :5] + found.coef[:, 5:], single.coef, atol=1e-8)


def signs(y):
    return np.where(y > 0, 1.0, -1.0)


@pytest.mark.parametrize(
    ("model", "target"),
    [(lambda X, y, a: icg.elastic_net(X, y, a, 0.6), lambda y: y), (icg.sparse_logistic, signs)],
    ids=["elastic net", "sparse logistic"],
)
def test_other_models_are_followed_by_warm_starts(model, target):
    X, y = diabetes(6)
    y = target(y)
    alphas = np.abs(X.T @ y).max() / len(y) * np.array([0.4, 0.2, 0.1])
    found = icg.path(model, X, y, alphas)
    assert found.converged.all() and found.knots.size == 0
    at = jax.jit(lambda a: icg.solve(model(X, y, a)).value)
    np.testing.assert_allclose(found.coef[2], at(alphas[2]), atol=1e-8)
    step = 1e-5 * alphas[1]
    difference = (at(alphas[1] + step) - at(alphas[1] - step)) / (2 * step)
    np.testing.assert_allclose(found.slope[1], difference, rtol=1e-5, atol=1e-6)


def test_mistakes_are_named():
    X, y = diabetes(4)
    with pytest.raises(ValueError, match="descend"):
        icg.path(icg.lasso, X, y, np.array([0.1, 0.2]))
    with pytest.raises(ValueError, match="descend"):
        icg.path(icg.lasso, X, y, np.array([0.1, 0.0]))
    with pytest.raises(ValueError, match="vector of penalties"):
        icg.path(icg.lasso, X, y, 0.1)
    with pytest.raises(ValueError, match="ratio"):
        icg.path(icg.lasso, X, y, ratio=2.0)
    with pytest.raises(TypeError, match="loss and a penalty"):
        icg.path(lambda X, y, a: icg.root(lambda z, b: z - b, a), X, y)
    with pytest.raises(ValueError, match="give `alphas`"):
        icg.path(lambda X, y, a: icg.group_lasso(X, y, a, np.array([0, 0, 1, 1])), X, y)
    with pytest.raises(icg.SolveError):
        icg.path(icg.lasso, X, y, max_knots=1)
    assert not icg.path(icg.lasso, X, y, max_knots=1, throw=False).complete


def test_the_derivative_of_a_path_is_refused_rather_than_zero():
    X, y = diabetes(4)
    with pytest.raises(Exception, match="no derivatives beyond"):
        jax.grad(lambda y: icg.path(icg.lasso, X, y, np.array([1.0])).coef.sum())(y)
