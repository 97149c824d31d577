"""Kinks, selections and sets go through `icg.solve`: the solver's own iterations are no kinks of the solution."""

import jax
import jax.numpy as jnp
import numpy as np

import implicitcg as icg
from implicitcg.nonsmooth import with_ties

# THEORY: X^T X / n = [[1, .5], [.5, 1]], X^T y / n = (2, 1.75): a knot of the path at alpha = 1.5
factor = np.linalg.cholesky(np.array([[1.0, 0.5], [0.5, 1.0]]))
X = jnp.asarray(np.sqrt(2) * factor.T)
y = jnp.asarray(np.sqrt(2) * np.linalg.solve(factor, np.array([2.0, 1.75])))
TOL = 1e-8  # above the solver's error, far below the distance to any other kink


def path(log_alpha):
    return icg.solve(icg.lasso(X, y, jnp.exp(log_alpha))).value


KNOT = float(np.log(1.5))


def test_a_knot_of_the_lasso_path_has_both_one_sided_derivatives():
    found = icg.conservative_jacobian(path, KNOT, tol=TOL)
    assert found.exhaustive
    assert np.allclose(sorted(found.vertices.tolist()), [[-1.5, 0.0], [-1.0, -1.0]], atol=1e-6)
    assert found.contains(jnp.array([-1.25, -0.5]), tol=1e-6)


def test_a_rule_and_a_direction_choose_at_the_knot():
    mean = jax.jit(jax.jacfwd(with_ties(path, 0.5, tol=TOL)))(KNOT)
    assert np.allclose(mean, [-9 / 7, -3 / 7], atol=1e-6)  # q = 1/2 in the formula, not the mean of the two ends
    for direction, expected in ((1.0, [-1.5, 0.0]), (-1.0, [-1.0, -1.0])):
        ahead = with_ties(path, direction=direction, tol=TOL)
        assert np.allclose(jax.jit(jax.jacrev(ahead))(KNOT), expected, atol=1e-6)


def test_the_knot_is_reported_at_the_line_that_calls_solve():
    report = icg.kinks(path, KNOT, tol=TOL)
    assert report.count == 1
    (place,) = [place for place, entries in zip(report.places, report.entries, strict=False) if entries]
    assert "test_nonsmooth_solve.py" in place and "(path)" in place
    assert icg.kinks(path, 0.0, tol=TOL).count == 0


def test_a_minimum_of_a_validation_loss_at_a_knot_is_stationary():
    # w - target = (-1, 0.8) at the knot: slopes of the loss 3 to the right, and 2 - 1.6 > 0 to the left: no minimum;
    # with (-1, 1.5): 3 to the right and 2 - 3 < 0 to the left: a minimum at which no gradient vanishes
    for shift, stationary in ((0.8, False), (1.5, True)):
        target = jnp.array([1.5, -shift])
        loss = lambda t, target=target: jnp.sum((path(t) - target) ** 2)  # noqa: E731
        found = icg.conservative_jacobian(loss, KNOT, tol=TOL)
        assert found.is_stationary() == stationary
        assert float(jnp.abs(found.vertices).min()) > 0.1


def test_the_implicit_set_of_a_fixed_point_on_its_kink():
    root = lambda x: icg.solve(icg.fixed_point(lambda z, x: jnp.abs(z) / 2 + x, x)).value  # noqa: E731
    found = icg.conservative_jacobian(root, 0.0, tol=1e-9)
    assert np.allclose(sorted(found.vertices.tolist()), [2 / 3, 2.0], atol=1e-9)


def test_a_relu_equilibrium_on_its_kinks_shows_every_vertex():
    W = 0.4 * jnp.array([[0.0, 1.0], [-1.0, 0.5]])
    root = lambda x: icg.solve(icg.fixed_point(lambda z, x: jax.nn.relu(W @ z + x), x)).value  # noqa: E731
    found = icg.conservative_jacobian(root, jnp.zeros(2), tol=1e-9)
    by_hand = []
    for d in ([0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]):
        D = np.diag(d)
        by_hand.append(np.linalg.solve(np.eye(2) - D @ np.asarray(W), D))
    assert len(found) == 4
    for matrix in by_hand:
        assert np.abs(np.asarray(found.vertices) - matrix).reshape(4, -1).max(1).min() < 1e-8


def test_a_weakly_active_constraint_shows_both_pieces():
    # min 1/2 |x|^2 - q x with x <= 0, at q = 0: slope 1 while free, 0 when held
    def solution(q):
        problem = icg.qp(jnp.eye(1), -q * jnp.ones(1), G=jnp.eye(1), h=jnp.zeros(1))
        return icg.solve(problem).value[0]

    found = icg.conservative_jacobian(solution, 0.0, tol=1e-6)
    assert np.allclose(sorted(found.vertices.tolist()), [0.0, 1.0], atol=1e-6)


def test_user_code_around_a_solve_is_seen_together_with_it():
    program = jax.jit(lambda t: jax.nn.relu(path(t)[1]) + jnp.abs(t - KNOT))
    found = icg.conservative_jacobian(program, KNOT, tol=TOL)
    # w_2 leaves zero below the knot (slope -1) or stays (slope 0), relu passes it or not, |t - knot| has slope -1 or 1
    expected = {-2.0, -1.0, 0.0, 1.0}
    assert {round(v, 6) + 0.0 for v in found.vertices.tolist()} == expected
