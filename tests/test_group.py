"""Kinks of the group penalty, of the bounds of a support vector machine, and of nonconvex penalties."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import regression

import implicitcg as icg


def vertices(function, x, tol=1e-9):
    elements = icg.conservative_jacobian(function, x, tol=tol)
    assert elements.exhaustive
    return np.asarray(elements.vertices)


def assert_same_set(found, expected):
    assert len(found) == len(expected)
    for vertex in expected:
        assert min(np.abs(found - vertex).reshape(len(found), -1).max(axis=1)) < 1e-9


def kinked_group_lasso(correlation=0.5, copied=False):
    """A group lasso in three groups, of which the first is active and the second exactly on its kink.

    Built from its solution: `X^T r / n` is `t_g n_g` on the active group, of norm `t_g` on the tied one, below on the
    last, so the dual fixes `y = X w + r`.
    """
    rng = np.random.default_rng(0)
    X = regression(12, 8, seed=1, correlation=correlation)[0][:, :6]
    groups = np.array([0, 0, 1, 1, 1, 2])
    if copied:  # the tied group enters along a column that the active group spans
        X[:, 2] = X[:, 0]
    w = np.array([1.0, -2.0, 0, 0, 0, 0])
    t = 0.3 * np.sqrt(np.bincount(groups))
    n = rng.standard_normal(3)
    n = np.array([1.0, 0, 0]) if copied else n / np.linalg.norm(n)
    target = np.concatenate([t[0] * w[:2] / np.linalg.norm(w[:2]), t[1] * n, [0.1]])
    if copied:
        target[2] = target[0]
        t[1] = abs(target[0])
    r = 12 * np.linalg.lstsq(X.T, target)[0]
    return X, X @ w + r, groups, t / np.sqrt(np.bincount(groups)), w, n


def test_a_group_on_its_kink_enters_along_one_direction_and_the_two_vertices_are_exact():
    X, y, groups, alpha, w, n = kinked_group_lasso()
    problem = icg.group_lasso(X, y, alpha, groups)
    solution = icg.solve(problem)
    np.testing.assert_allclose(solution.value, w, atol=1e-12)
    certificate = icg.certify(problem, solution)
    assert (certificate.verdict, certificate.kinks, certificate.selections) == ("certified", 1, 2)

    bend = np.zeros((3, 3))  # in the coordinates w_1, w_2 and the length along n
    unit = w[:2] / np.linalg.norm(w[:2])
    bend[:2, :2] = alpha[0] * np.sqrt(2) / np.linalg.norm(w[:2]) * (np.eye(2) - np.outer(unit, unit))
    basis = np.zeros((6, 3))
    basis[:2, :2], basis[2:5, 2] = np.eye(2), n
    expected = []
    for size in (2, 3):
        V = basis[:, :size]
        K = V.T @ X.T @ X @ V / 12 + bend[:size, :size]
        expected.append(V @ np.linalg.solve(K, V.T @ X.T / 12))
    found = vertices(lambda y: icg.solve(icg.group_lasso(X, y, alpha, groups)).value, jnp.asarray(y))
    assert_same_set(found, expected)
    # the default is the smallest active set, and a difference into either side is one of the two
    default = jax.jacfwd(lambda y: icg.solve(icg.group_lasso(X, y, alpha, groups)).value)(jnp.asarray(y))
    np.testing.assert_allclose(default, expected[0], atol=1e-10)
    direction = X @ (V[:, 2] / 12)
    ahead = (icg.solve(icg.group_lasso(X, y + 1e-6 * direction, alpha, groups)).value - w) / 1e-6
    behind = (w - icg.solve(icg.group_lasso(X, y - 1e-6 * direction, alpha, groups)).value) / 1e-6
    np.testing.assert_allclose(ahead, expected[1] @ direction, atol=1e-5)
    np.testing.assert_allclose(behind, expected[0] @ direction, atol=1e-5)


def test_derivatives_in_the_strength_at_a_group_kink_are_exact_too():
    X, y, groups, alpha, _, _ = kinked_group_lasso()

    def along(s):
        return icg.solve(icg.group_lasso(X, y, alpha * s, groups)).value

    found = vertices(along, jnp.asarray(1.0))
    below, here, above = (np.asarray(along(s)) for s in (1 - 1e-6, 1.0, 1 + 1e-6))
    for difference in ((here - below) / 1e-6, (above - here) / 1e-6):
        assert min(np.abs(found - difference).max(axis=1)) < 1e-5


def test_a_tied_group_that_depends_on_the_active_one_is_singular_whichever_group_is_active(fails_with):
    X, y, groups, alpha, _, _ = kinked_group_lasso(copied=True)
    problem = icg.group_lasso(X, y, alpha, groups)
    solution = icg.solve(problem)
    verdict = icg.certify(problem, solution)
    # its direction is the first column of the active group, whose bend keeps the Hessian definite
    assert verdict.verdict == "certified" and verdict.kinks == 1
    whole = np.concatenate([X[:, :2], X[:, :2], X[:, 5:]], axis=1)
    twice = icg.group_lasso(whole, y, 0.3, [0, 0, 1, 1, 2])
    solution = icg.solve(twice)
    assert icg.certify(twice, solution).verdict == "singular"
    fails_with(
        "The derivative was refused",
        jax.jacfwd(lambda a: icg.solve(icg.group_lasso(whole, y, a, [0, 0, 1, 1, 2])).value),
        0.3,
    )


def test_every_group_at_zero_is_certified_and_a_group_of_one_is_a_lasso():
    X, y = regression(20, 8, seed=2)
    singles = np.arange(8)
    problem = icg.group_lasso(X, y, 0.2, singles)
    np.testing.assert_allclose(icg.solve(problem).value, icg.solve(icg.lasso(X, y, 0.2)).value, atol=1e-12)
    zero = icg.group_lasso(X, y, 100.0, singles // 2)
    solution = icg.solve(zero)
    assert not np.any(solution.value) and icg.certify(zero, solution).verdict == "certified"
    gradient = jax.grad(lambda y: jnp.sum(icg.solve(icg.group_lasso(X, y, 100.0, singles // 2)).value))(y)
    np.testing.assert_array_equal(gradient, 0)


def test_an_unpenalised_group_is_least_squares_and_has_no_kink():
    X, y = regression(20, 8, seed=2)
    free = icg.solve(icg.group_lasso(X, y, np.array([0.0, 50.0, 50.0, 50.0]), np.arange(8) // 2)).value
    np.testing.assert_allclose(free[:2], np.linalg.lstsq(X[:, :2], y)[0], atol=1e-12)


def test_a_sample_that_just_reaches_the_margin_gives_both_pieces():
    """One sample `x = 1`: the multiplier of `min w^2 / 2 + C max(0, 1 - w)` is `min(C, 1)`."""
    X, y = jnp.asarray([[1.0], [-1e-9]]), jnp.asarray([1.0, -1.0])

    def weight(C):
        return icg.solve(icg.svm(X, y, C)).value[0]

    problem = icg.svm(X, y, jnp.asarray([1.0, 1e-12]))
    certificate = icg.certify(problem, icg.solve(problem))
    assert certificate.kinks == 1 and certificate.verdict == "certified"
    found = vertices(lambda C: weight(jnp.stack([C, jnp.asarray(1e-12)])), jnp.asarray(1.0))
    np.testing.assert_allclose(sorted(np.ravel(found)), [0.0, 1.0], atol=1e-9)


def test_support_vector_regression_has_kinks_at_the_tube_and_at_the_cost():
    """One sample `x = 1, y = 3`: `w = min(max(3 - epsilon, 0), C)`."""

    def weight(theta):
        return icg.solve(icg.svr(jnp.ones((1, 1)), jnp.asarray([3.0]), theta[0], theta[1])).value[0]

    at_cost = vertices(weight, jnp.asarray([2.0, 1.0]))
    assert_same_set(at_cost, np.array([[1.0, 0.0], [0.0, -1.0]]))
    at_tube = vertices(weight, jnp.asarray([2.0, 3.0]))
    assert_same_set(at_tube, np.array([[0.0, 0.0], [0.0, -1.0]]))


@pytest.mark.parametrize("name", ["mcp", "scad"])
def test_nonconvex_penalties_have_their_inner_kinks_found_and_both_pieces_returned(name):
    """On `X^T X / n = I` the solution is the prox of `y`: known pieces, on both sides of each kink."""
    X = jnp.sqrt(2.0) * jnp.eye(2)
    model, shape = (icg.mcp_regression, 3.0) if name == "mcp" else (icg.scad_regression, 3.7)
    # (y_1, slopes of w_1 in y_1 on both sides): the dead zone, the end of the l1 piece, the end of the shrinkage
    kinks = (
        [(0.5, {0.0, 1.5}), (1.5, {1.5, 1.0})]
        if name == "mcp"
        else [(0.5, {0, 1}), (1.0, {1, 27 / 17}), (1.85, {27 / 17, 1})]
    )
    for first, slopes in kinks:
        y = jnp.asarray([first, 5.0]) * jnp.sqrt(2.0)

        def solution(y):
            return icg.solve(model(X, y, 0.5, shape)).value / jnp.sqrt(2.0)

        found = vertices(solution, y)
        np.testing.assert_allclose(sorted(found[:, 0, 0] * 2), sorted(slopes), atol=1e-9)
        np.testing.assert_allclose(found[:, 1, 1] * 2, 1.0, atol=1e-9)
        problem = model(X, y, 0.5, shape)
        certificate = icg.certify(problem, icg.solve(problem))
        assert certificate.verdict == "certified" and certificate.kinks == 1


def test_a_stationary_point_whose_pieces_have_determinants_of_both_signs_is_singular():
    """With a mean square of a column below `1 / gamma` the bent piece of MCP is concave."""
    X = jnp.asarray([[1.0, 0.0], [0.0, 1.0]])  # mean squares 1/2, less than 1 / gamma
    problem = icg.mcp_regression(X, jnp.asarray([1.0, 6.0]), 0.5, 1.5)
    solution = icg.solve(problem)
    np.testing.assert_allclose(solution.value, [0.0, 6.0], atol=1e-12)  # the first gradient is exactly on its kink
    certificate = icg.certify(problem, solution)
    assert certificate.verdict == "singular" and certificate.kinks == 1
    assert "not definite" in certificate.reason and "nonconvex" in certificate.reason


def test_group_certificates_agree_with_brute_force_over_every_selection():
    """Orthogonal designs with groups at zero, tied and active, half of them with a copied group."""
    rng = np.random.default_rng(3)
    verdicts = []
    examine = jax.jit(lambda X, y: icg.solve(icg.group_lasso(X, y, 1.0, np.arange(6) // 2), throw=False))
    for trial in range(30):
        Q = np.linalg.qr(rng.standard_normal((8, 6)))[0] * np.sqrt(8)
        if trial % 2:
            Q[:, 4:] = Q[:, :2]
        kind = rng.choice([0.5, 1.0, 2.0], 3)
        if trial % 2:
            kind[2] = kind[0]
        units = rng.standard_normal((3, 2))
        units /= np.linalg.norm(units, axis=1, keepdims=True)
        if trial % 2:
            units[2] = units[0]
        target = (kind[:, None] * np.sqrt(2) * units).ravel()
        y = Q[:, :4] @ target[:4] if trial % 2 else Q @ target
        problem = icg.group_lasso(Q, y, 1.0, np.arange(6) // 2)
        solution = examine(Q, y)
        assert bool(solution.converged)
        w = np.asarray(solution.value).reshape(3, 2)
        g = (Q.T @ (y - Q @ w.ravel()) / 8).reshape(3, 2)
        norms = np.linalg.norm(w, axis=1)
        tied = (norms < 1e-9) & (np.abs(np.linalg.norm(g, axis=1) - np.sqrt(2)) < 1e-9)
        smallest = 1.0
        for chosen in itertools.product([False, True], repeat=3):
            if any(c and not t for c, t in zip(chosen, tied, strict=True)):
                continue
            columns, bend = [], []
            for j in range(3):
                block = Q[:, 2 * j : 2 * j + 2]
                if norms[j] > 1e-9:
                    n = w[j] / norms[j]
                    columns.append(block)
                    bend.append(np.sqrt(2) / norms[j] * (np.eye(2) - np.outer(n, n)))
                elif chosen[j]:
                    columns.append(block @ g[j][:, None] / np.sqrt(2))
                    bend.append(np.zeros((1, 1)))
            if columns:
                V = np.concatenate(columns, axis=1)
                D = np.zeros((V.shape[1], V.shape[1]))
                place = 0
                for b in bend:
                    D[place : place + len(b), place : place + len(b)] = b
                    place += len(b)
                smallest = min(smallest, np.linalg.svd(V.T @ V / 8 + D, compute_uv=False)[-1])
        found = icg.certify(problem, solution, tol=1e-8)
        verdicts.append(found.verdict)
        assert found.kinks == tied.sum()
        assert (found.verdict == "singular") == (smallest < 1e-9), (trial, kind)
    assert {"certified", "singular"} == set(verdicts)
