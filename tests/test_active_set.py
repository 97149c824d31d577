"""The homotopy behind the LASSO: its tableau, degenerate designs, starts from anywhere."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import implicitcg as icg
from implicitcg.solvers.lasso.tableau import Tableau

KINDS = ("gaussian", "integers", "duplicates", "one-hot", "low rank", "scales")


def degenerate(kind, n, p, rng):
    X, y = rng.standard_normal((n, p)), rng.standard_normal(n)
    if kind == "integers":
        X, y = rng.integers(-1, 2, (n, p)).astype(float), rng.integers(-2, 3, n).astype(float)
    if kind == "duplicates":
        X[:, p // 2 :] = X[:, : p - p // 2]
    if kind == "one-hot":
        X = np.eye(p)[rng.integers(0, p // 2, n)] + np.eye(p)[p // 2 + rng.integers(0, p // 2, n)]
    if kind == "low rank":
        X = rng.standard_normal((n, 3)) @ rng.standard_normal((3, p))
    if kind == "scales":
        X = X * 10.0 ** rng.uniform(-4, 4, p)
    return X, y


@partial(jax.jit, static_argnames="solver")
def fitted(X, y, alpha, init, solver):
    problem = icg.lasso(X, y, alpha, fit_intercept=True)
    solution = icg.solve(problem, solver, init, throw=False)
    return problem.objective(solution.root), solution.converged


@pytest.mark.parametrize("shape", [(8, 20), (30, 12)])
@pytest.mark.parametrize("kind", KINDS)
def test_degenerate_designs_are_solved_from_zero_and_from_anywhere(kind, shape):
    rng = np.random.default_rng(KINDS.index(kind))
    n, p = shape
    for _ in range(8):
        X, y = degenerate(kind, n, p, rng)
        alpha = np.abs((X - X.mean(0)).T @ (y - y.mean())).max() / n * 10 ** rng.uniform(-3, 0)
        anywhere = rng.standard_normal(p) * (rng.random(p) < 0.4)
        cold, reached = fitted(X, y, alpha, np.zeros(p), icg.solvers.ActiveSet())
        warm, reached_too = fitted(X, y, alpha, anywhere, icg.solvers.ActiveSet())
        other, _ = fitted(X, y, alpha, np.zeros(p), icg.solvers.SemismoothNewton())
        assert reached and reached_too
        # both stop at a duality gap of 1e-10 of the objective at zero, half the variance of y
        assert abs(cold - other) <= 1e-9 * y.var() and abs(warm - other) <= 1e-9 * y.var()


def test_a_product_with_very_many_rows_reads_those_in_use():
    rng = np.random.default_rng(0)
    A, used = np.where(np.arange(300) < 250, rng.standard_normal((300, 300)), 0), np.arange(2112) < 70
    gram, diagonal = jnp.asarray(A.T @ A), jnp.asarray(rng.standard_normal(300))
    rows = jnp.asarray(rng.standard_normal((2112, 300)) * used[:, None])
    inverse = jnp.asarray(rng.standard_normal(2112) * used)
    tableau = Tableau(rows, inverse, jnp.zeros(2112, jnp.int32), jnp.asarray(70, jnp.int32), diagonal)
    product = jax.jit(tableau.product)
    for count in (0, 64, 65, 250, 300):
        v = jnp.asarray(np.where(np.arange(300) < count, rng.standard_normal(300), 0))
        expected = gram @ v - (inverse * (rows @ v)) @ rows + diagonal * v
        np.testing.assert_allclose(product(gram, v), expected, atol=1e-10)  # sums of 300 products of size 100


def test_the_tableau_is_the_swept_matrix_whatever_the_way_there():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((12, 7))
    gram = jnp.asarray(A.T @ A)

    def exact(active):
        T, inside = np.array(gram), np.flatnonzero(active)
        outside = np.setdiff1d(np.arange(7), inside)
        inverse = np.linalg.inv(T[np.ix_(inside, inside)])
        cross = T[np.ix_(outside, inside)] @ inverse
        out = np.empty((7, 7))
        out[np.ix_(inside, inside)] = -inverse
        out[np.ix_(outside, inside)], out[np.ix_(inside, outside)] = cross, cross.T
        out[np.ix_(outside, outside)] = T[np.ix_(outside, outside)] - cross @ T[np.ix_(inside, outside)]
        return out

    def dense(tableau):
        return np.stack([tableau.product(gram, row) for row in jnp.eye(7)])

    active = np.isin(np.arange(7), [1, 4, 6])
    tableau = Tableau.swept(gram, jnp.asarray(active), room=5, capacity=9)
    np.testing.assert_allclose(dense(tableau), exact(active), atol=1e-12)
    for k, leaving in [(2, False), (4, True), (0, False), (4, False)]:
        k = jnp.asarray(k, jnp.int32)
        column, pivot = tableau.column(gram, k, jnp.asarray(len(gram)))
        tableau = tableau.sweep(k, column, pivot, jnp.asarray(leaving), jnp.asarray(True))
        active[k] = not leaving
        np.testing.assert_allclose(dense(tableau), exact(active), atol=1e-11)
    undone = tableau.sweep(k, *tableau.column(gram, k, jnp.asarray(len(gram))), jnp.asarray(True), jnp.asarray(False))
    np.testing.assert_allclose(dense(undone), exact(active), atol=1e-11)


def test_a_tableau_extended_by_new_variables_is_that_of_the_larger_matrix():
    rng = np.random.default_rng(1)
    A = rng.standard_normal((150, 100))
    gram = jnp.asarray(A.T @ A)
    active = jnp.arange(100) < 70
    known = jnp.arange(100) < 90
    small = Tableau.swept(jnp.where(known[:, None] & known[None, :], gram, 0), active, room=80, capacity=120)
    grown = small.extend(gram[:, 90:], jnp.asarray(90, jnp.int32))
    whole = Tableau.swept(gram, active, room=80, capacity=120)
    v = jnp.asarray(rng.standard_normal(100))
    np.testing.assert_allclose(grown.product(gram, v), whole.product(gram, v), rtol=1e-9, atol=1e-9)


def test_a_warm_start_near_the_solution_costs_few_knots():
    rng = np.random.default_rng(2)
    X, y = rng.standard_normal((40, 100)), rng.standard_normal(40)
    largest = np.abs(X.T @ y).max() / 40
    solve = jax.jit(lambda alpha, init: icg.solve(icg.lasso(X, y, alpha), init=init))
    near = solve(0.11 * largest, np.zeros(100))
    again = solve(0.1 * largest, near.root)
    assert 2 * int(again.iterations) < int(solve(0.1 * largest, np.zeros(100)).iterations)


def test_an_elastic_net_may_have_more_active_features_than_samples():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((6, 1)) + 0.1 * rng.standard_normal((6, 30))
    y = X.sum(axis=1)
    found = jax.jit(lambda: icg.solve(icg.elastic_net(X, y, 0.5, 0.01)))()
    assert found.converged and np.count_nonzero(found.value) > 6


def test_more_features_on_their_threshold_than_slots_are_solved():
    X, y = np.tile(np.eye(40), (1, 4)), np.ones(40)  # 160 enter at once, 40 of them independent; there are 128 slots
    problem = icg.lasso(X, y, 0.5 / 40)
    found = icg.solve(problem)
    np.testing.assert_allclose(X @ found.value, 0.5, atol=1e-12)
    assert icg.certify(problem, found).verdict == "singular"


@pytest.mark.parametrize(
    ("capacity", "message"), [(0, "capacity is 0"), (2.5, "capacity is 2.5"), (10**6, "needs matrices of 7451 GiB")]
)
def test_a_capacity_that_is_no_size_or_does_not_fit_in_memory_raises_with_advice(capacity, message):
    problem = icg.elastic_net(np.ones((1, 10**6)), np.ones(1), 0.1)
    for solver in (icg.solvers.ActiveSet, icg.solvers.SemismoothNewton):
        with pytest.raises(ValueError, match=message):
            icg.solve(problem, solver(capacity=capacity))
        with pytest.raises(TypeError, match="capacity is True"):
            icg.solve(problem, solver(capacity=True))
