"""Cone programs: their solutions and derivatives, against enumeration, differences and other solvers."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import cvxpy
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from laws import assert_close, direction_like, inner, moved

import implicitcg as icg
from implicitcg.cone_programs import ConePoint, chosen_system, cone_program, layout, polished, recent_systems
from implicitcg.cone_programs.chosen_system import factorised
from implicitcg.cone_programs.faces import face
from implicitcg.cone_programs.iterative_system import IterativeSystem

cones = icg.cones


def nearest(u):
    """The projection on a second-order cone, as a cone program."""
    return icg.solve(icg.conic(jnp.eye(3), -u, -jnp.eye(3), jnp.zeros(3), cones.SecondOrder(3)))


def test_a_projection_written_as_a_cone_program_has_the_value_and_the_derivatives_of_the_projection():
    u = jnp.array([1.0, 3.0, 4.0])
    np.testing.assert_allclose(nearest(u).value, [3.0, 1.8, 2.4], atol=1e-12)  # polished: to rounding
    exact = [[0.5, 0.3, 0.4], [0.3, 0.564, -0.048], [0.4, -0.048, 0.536]]
    np.testing.assert_allclose(jax.jacobian(lambda u: nearest(u).value)(u), exact, atol=1e-12)
    np.testing.assert_allclose(jax.jacfwd(lambda u: nearest(u).value)(u), exact, atol=1e-12)


def test_an_infeasible_and_an_unbounded_element_leave_the_rest_of_a_batch_alone():
    def interval(b, q):  # minimise q x over -b[0] <= x <= b[1]
        problem = icg.conic(None, q[None], jnp.array([[-1.0], [1.0], [0.0]]), b, cones.Nonnegative(3))
        return icg.solve(problem, throw=False)

    b = jnp.array([[1.0, 2.0, 1.0], [-3.0, 2.0, 1.0], [1.0, 1e9, 1.0], [1.0, 2.0, -1.0]])
    found = jax.vmap(interval)(b, jnp.array([1.0, 1.0, 1.0, -1.0]))
    assert (found.status == icg.Status.converged).tolist() == [True, False, True, False]
    assert (found.status == icg.Status.infeasible).tolist() == [False, True, False, True]
    np.testing.assert_allclose(found.value[jnp.array([0, 2]), 0], [-1.0, -1.0], atol=1e-12)
    free = icg.conic(None, [1.0], [[1.0]], [1.0], cones.Nonnegative(1))
    assert icg.solve(free, throw=False).status == icg.Status.unbounded


EVERY = cones.Product(
    cones.Zero(1), cones.Nonnegative(3), cones.SecondOrder(3), cones.PSD(3), cones.Exponential(), cones.Power(0.3)
)


def random_programs(count: int, n: int = 14):
    """Programs with every cone, made around a solution: `v` at random, `s = Pi(v)`, `y = s - v`, and data that fit."""
    random = np.random.default_rng(0)
    A, x = random.standard_normal((count, EVERY.dimension, n)), random.standard_normal((count, n))
    v = random.standard_normal((count, EVERY.dimension))
    root = random.standard_normal((count, n, n))
    P = root @ root.transpose(0, 2, 1) / n + 0.1 * np.eye(n)
    s = np.asarray(jax.vmap(EVERY.project)(v))
    b = np.einsum("kij,kj->ki", A, x) + s
    q = -np.einsum("kij,kj->ki", P, x) - np.einsum("kij,ki->kj", A, s - v)
    data = {"P": P, "q": q, "A": A, "b": b, "a": np.full(count, 0.3)}
    return jax.tree.map(jnp.asarray, data), x, s - v


def solved(t):
    found = icg.solve(
        icg.conic(t["P"], t["q"], t["A"], t["b"], cones.Product(*EVERY.cones[:-1], cones.Power(t["a"]))), throw=False
    )
    return (found.value, found.dual), found.converged


def test_random_programs_with_every_cone_have_the_solutions_they_were_made_of_and_the_derivatives_of_differences():
    theta, x, y = random_programs(40)
    direction = jax.tree.map(lambda leaf: leaf * 0.3, direction_like(theta, seed=1))
    direction["P"] = (direction["P"] + jnp.swapaxes(direction["P"], 1, 2)) / 2
    weights = direction_like((jnp.asarray(x), jnp.asarray(y)), seed=2)

    @jax.jit
    def everything(theta):
        def batch(theta):
            return jax.vmap(solved)(theta)

        found, push, converged = jax.linearize(batch, theta, has_aux=True)
        return found, push(direction), converged, jax.linear_transpose(push, theta)(weights)[0]

    found, along, converged, pulled = everything(theta)
    assert converged.all()
    assert_close(found, (x, y), 1e-9)  # polished; conditions up to 1e5
    step = 1e-4  # the direction is spread over 40 programs, so each moves by 1e-5
    ends = [everything(moved(theta, direction, sign * step))[0] for sign in (1, -1)]
    differences = jax.tree.map(lambda a, b: (a - b) / (2 * step), *ends)
    assert_close(along, differences, 1e-6)  # curvature times step^2, and rounding of 1e-13 / step
    np.testing.assert_allclose(inner(weights, along), inner(pulled, direction), rtol=1e-8)


def test_programs_agree_with_cvxpy_and_clarabel():
    theta, x, _ = random_programs(3)
    for k in range(3):
        P, q, A, b = (np.asarray(theta[name][k]) for name in "PqAb")
        z = cvxpy.Variable(len(q))
        s = b - A @ z
        S = cvxpy.Variable((3, 3), PSD=True)
        column, row = np.tril_indices(3)
        scale = np.where(row == column, 1.0, np.sqrt(2.0))
        problem = cvxpy.Problem(
            cvxpy.Minimize(cvxpy.quad_form(z, cvxpy.psd_wrap((P + P.T) / 2)) / 2 + q @ z),
            [s[0] == 0, s[1:4] >= 0, cvxpy.SOC(s[4], s[5:7])]
            + [cvxpy.multiply(scale[i], S[row[i], column[i]]) == s[7 + i] for i in range(6)]
            + [cvxpy.ExpCone(s[13], s[14], s[15]), cvxpy.PowCone3D(s[16], s[17], s[18], 0.3)],
        )
        problem.solve(cvxpy.CLARABEL)
        np.testing.assert_allclose(z.value, x[k], atol=1e-5)  # Clarabel's own accuracy is 1e-8 in the objective


@pytest.mark.parametrize("form", [scipy.sparse.csr_array, jax.experimental.sparse.BCOO.fromdense])
def test_sparse_data_have_the_solution_of_dense_data(form):
    A = np.array([[-1.0, 0.0], [0.0, -1.0], [1.0, 2.0]])

    def solve(A, P):
        return icg.solve(icg.conic(P, [-1.0, -1.0], A, [0.0, 0.0, 1.0], cones.Nonnegative(3))).value

    np.testing.assert_allclose(solve(form(A), form(np.eye(2))), solve(A, np.eye(2)), atol=1e-14)


def test_scs_leads_to_the_same_point():
    u = jnp.array([1.0, 3.0, 4.0])
    problem = icg.conic(jnp.eye(3), -u, -jnp.eye(3), jnp.zeros(3), cones.SecondOrder(3))
    found = icg.solve(problem, icg.solvers.external.SCS())
    np.testing.assert_allclose(found.value, [3.0, 1.8, 2.4], atol=1e-12)


def projected(cone, u):
    """The projection of `u` on a cone, as a cone program."""
    d = cone.dimension
    return icg.solve(icg.conic(jnp.eye(d), -u, -jnp.eye(d), jnp.zeros(d), cone)).value


S = cones.PSD(2)
KINKS = {
    "second-order cone, on its boundary": (cones.SecondOrder(3), [5.0, 3.0, 4.0], [1.0, 0.0, 0.0]),
    "second-order cone, on the polar boundary": (cones.SecondOrder(3), [-5.0, 3.0, 4.0], [1.0, 0.0, 0.0]),
    "semidefinite, an eigenvalue of zero": (S, S.vector(jnp.diag(jnp.array([1.0, 0.0]))), [0.0, 0.0, 1.0]),
    "orthant, a weakly active bound": (cones.Nonnegative(2), [0.0, 1.0], [1.0, 0.0]),
    "exponential cone, on its boundary": (cones.Exponential(), [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]),
}


@pytest.mark.parametrize("name", KINKS)
def test_at_a_kink_the_derivative_is_between_the_pieces_on_both_sides(name):
    cone, u, across = KINKS[name]
    u, across = jnp.asarray(u), jnp.asarray(across)
    derivative = jax.jacfwd(lambda u: projected(cone, u))(u)
    pieces = [jax.jacfwd(cone.project)(u + side * 1e-6 * across) for side in (1, -1)]
    gaps = [np.abs(np.asarray(derivative - piece)).max() for piece in pieces]
    assert np.abs(np.asarray(pieces[0] - pieces[1])).max() > 0.3  # it is a kink
    assert min(gaps) < 1e-4  # a piece a distance of 1e-6 away, curved


def test_the_whole_set_of_derivatives_at_a_weakly_active_bound():
    found = icg.conservative_jacobian(lambda u: projected(cones.Nonnegative(2), u), jnp.array([0.0, 1.0]), tol=1e-9)
    assert found.contains(jnp.diag(jnp.array([1.0, 1.0])), 1e-9)
    assert found.contains(jnp.diag(jnp.array([0.0, 1.0])), 1e-9)
    assert not found.contains(jnp.diag(jnp.array([1.0, 0.0])), 1e-3)


def test_repeated_eigenvalues_are_no_kink():
    u = S.vector(jnp.eye(2) * 2.0)
    np.testing.assert_allclose(jax.jacfwd(lambda u: projected(S, u))(u), np.eye(3), atol=1e-10)


def test_dependent_bounds_have_the_derivative_of_one_exact_piece_and_a_certificate_that_names_them():
    def twice(q, b):
        A = jnp.array([[-1.0, 0.0], [-1.0, 0.0], [0.0, -1.0]])
        return icg.conic(jnp.eye(2), q, A, b, cones.Nonnegative(3))

    q, b = jnp.array([1.0, 1.0]), jnp.array([0.0, 0.0, 5.0])
    in_q, in_b = jax.jacrev(lambda q, b: icg.solve(twice(q, b)).value, argnums=(0, 1))(q, b)
    np.testing.assert_allclose(icg.solve(twice(q, b)).value, [0.0, -1.0], atol=1e-12)
    np.testing.assert_allclose(in_q, [[0.0, 0.0], [0.0, -1.0]], atol=1e-12)
    # x_0 = max(-b_0, -b_1): one of its two pieces
    assert sorted(np.asarray(in_b[0]).round(12).tolist()) == [-1.0, 0.0, 0.0] and in_b[0, 2] == 0
    verdict = icg.certify(twice(q, b), icg.solve(twice(q, b)))
    assert verdict.verdict == "singular" and "A[0], A[1] are linearly dependent" in verdict.reason


def test_a_bound_twice_beside_a_second_order_cone_has_the_slope_of_differences_along_both():
    A = jnp.concatenate([-jnp.eye(3), jnp.array([[0.0, 1.0, 0.0]] * 2)])

    def value(b):
        cone = cones.Product(cones.SecondOrder(3), cones.Nonnegative(2))
        return icg.solve(icg.conic(jnp.eye(3), -jnp.array([1.0, 3.0, 4.0]), A, b, cone)).value

    b, both = jnp.array([0.0, 0.0, 0.0, 1.0, 1.0]), jnp.array([0.0, 0.0, 0.0, 1.0, 1.0])
    difference = (value(b + 1e-5 * both) - value(b - 1e-5 * both)) / 2e-5
    # curvature times the square of the step, and rounding over the step
    np.testing.assert_allclose(jax.jvp(value, (b,), (both,))[1], difference, atol=1e-9)


def by_products_from(order, monkeypatch):
    """Semidefinite cones above this order count as large."""
    small = dataclasses.replace(chosen_system.THRESHOLDS, products_order=order)
    monkeypatch.setattr(chosen_system, "THRESHOLDS", small)


def test_a_large_semidefinite_cone_has_a_matrix_free_derivative_with_a_reported_residual(monkeypatch):
    by_products_from(2, monkeypatch)
    told = []
    adjoint = icg.adjoints.Automatic(report=lambda residual, steps: told.append(float(residual)))
    cone = cones.PSD(3)
    u = cone.vector(jnp.array([[1.0, 0.3, 0.1], [0.3, -0.5, 0.2], [0.1, 0.2, 0.4]]))

    def value(u, adjoint):
        problem = icg.conic(jnp.eye(6), -u, -jnp.eye(6), jnp.zeros(6), cone)
        return icg.solve(problem, adjoint=adjoint).value

    found = jax.jacrev(lambda u: value(u, adjoint))(u)
    jax.effects_barrier()
    assert len(told) == 6 and max(told) < 2e-11  # ten times eps^{3/4}
    np.testing.assert_allclose(found, jax.jacrev(lambda u: value(u, icg.adjoints.Direct()))(u), atol=1e-10)


def test_products_alone_solve_the_system_that_factors_solve_on_every_cone():
    theta, x, y = random_programs(3)
    for k in range(3):
        P, A, b = (np.asarray(theta[name][k]) for name in "PAb")
        here = face(layout(EVERY), np.array([0.3]), b - A @ x[k] - y[k])
        P, A = scipy.sparse.csc_array(P), scipy.sparse.csc_array(A)
        exact, products = factorised(P, A, here), IterativeSystem(P, A, here)
        assert exact.healthy
        r, t = np.cos(np.arange(A.shape[1])), np.sin(np.arange(A.shape[0]))
        for found, expected in zip(products.solve(r, t), exact.solve(r, t), strict=True):
            # MINRES is asked for 1e-6 in its own norm, and the systems have condition numbers of about a hundred
            np.testing.assert_allclose(found, expected, atol=1e-4 * np.linalg.norm(expected))


def test_newtons_method_by_products_reaches_rounding_too(monkeypatch):
    by_products_from(2, monkeypatch)
    used = []
    solve = IterativeSystem.solve
    monkeypatch.setattr(IterativeSystem, "solve", lambda self, r, t: used.append(0) or solve(self, r, t))
    theta, x, y = random_programs(3)
    found, converged = jax.vmap(solved)(theta)
    assert converged.all() and used
    assert_close(found, (x, y), 1e-9)


def test_steps_by_products_that_gain_little_are_not_mended_by_factors_while_a_nearer_start_can_be_had(monkeypatch):
    by_products_from(2, monkeypatch)
    made, solve = [], IterativeSystem.solve
    monkeypatch.setattr(IterativeSystem, "solve", lambda self, r, t: [0.2 * part for part in solve(self, r, t)])
    monkeypatch.setattr(recent_systems, "factorised", lambda *data: made.append(0) or factorised(*data))
    theta, x, y = random_programs(1)
    program = cone_program(*icg.conic(*(theta[name][0] for name in "PqAb"), EVERY).data())
    start = ConePoint(x[0], program.b - program.A @ x[0], 1.01 * y[0], 0, 0)
    polished(program, start, 5, last=False)
    assert not made
    assert polished(program, start, 5, last=True).residual < 1e-12 and made


def test_what_is_free_beside_a_unique_solution_does_not_keep_newtons_method_from_rounding():
    # min s, norm(z - a) <= s, max(z) <= t <= 3: t is free, and z is not
    a, k = np.array([1.0, -0.5, 0.25]), 3
    eye = np.eye(k)
    sum_to_one = np.r_[np.ones(k), 0, 0]
    top = np.c_[eye, np.zeros(k), -np.ones(k)]
    ball = np.r_[[np.r_[np.zeros(k), -1, 0]], np.c_[-eye, np.zeros((k, 2))]]
    A = np.r_[[sum_to_one], top, [np.r_[np.zeros(k + 1), 1]], ball]
    b = np.r_[1.0, np.zeros(k), 3.0, 0.0, -a]
    cone = cones.Product(cones.Zero(1), cones.Nonnegative(k + 1), cones.SecondOrder(k + 1))
    found = icg.solve(icg.conic(None, np.r_[np.zeros(k), 1.0, 0.0], A, b, cone), throw=False)
    assert found.status == icg.Status.not_unique
    np.testing.assert_allclose(found.value[:k], a + (1 - a.sum()) / k, atol=1e-12)


def doubly_stochastic(q, sums):
    """The matrix nearest to `-q` with these sums of rows and columns: one of them follows from the others."""
    k = 3
    equal = np.vstack([np.kron(np.eye(k), np.ones(k)), np.kron(np.ones(k), np.eye(k))])
    A = jnp.asarray(np.vstack([equal, -np.eye(k * k)]))
    cone = cones.Product(cones.Zero(2 * k), cones.Nonnegative(k * k))
    return icg.conic(jnp.eye(k * k), q, A, jnp.concatenate([sums, jnp.zeros(k * k)]), cone)


def test_dependent_equalities_have_the_derivative_along_changes_that_keep_them_consistent():
    q, sums = 0.3 * jnp.sin(jnp.arange(9.0)), jnp.ones(6)

    @jax.jit
    def both(q, sums, direction):
        def value(q, sums):
            return icg.solve(doubly_stochastic(q, sums), throw=False).value

        along = jax.jvp(value, (q, sums), direction)[1]
        return value(q, sums), along, jax.jacrev(value, argnums=(0, 1))(q, sums)

    direction = jnp.cos(jnp.arange(9.0)), jnp.array([1.0, -2.0, 4.0, 0.5, 1.5, 1.0])
    _, along, (in_q, in_sums) = both(q, sums, direction)
    ends = [both(q + s * direction[0], sums + s * direction[1], direction)[0] for s in (1e-5, -1e-5)]
    np.testing.assert_allclose(along, (ends[0] - ends[1]) / 2e-5, atol=1e-9)  # piecewise affine: rounding over the step
    np.testing.assert_allclose(in_q @ direction[0] + in_sums @ direction[1], along, atol=1e-12)
    inconsistent = jnp.eye(6)[0]  # the sums of rows and of columns differ
    assert jnp.isnan(both(q, sums, (direction[0], inconsistent))[1]).all()
    with pytest.raises(icg.SolveError, match="singular"):
        jax.jvp(lambda sums: icg.solve(doubly_stochastic(q, sums)).value, (sums,), (inconsistent,))
    found = icg.solve(doubly_stochastic(q, sums))
    verdict = icg.certify(doubly_stochastic(q, sums), found)
    assert verdict.verdict == "singular" and "A[0], A[1], A[2], A[3], A[4], A[5] are linearly dep" in verdict.reason
    assert "keep them consistent" in verdict.reason


def test_one_factorisation_serves_the_solution_and_all_rows_of_its_jacobian(monkeypatch):
    made = []

    def counted(P, A, face):
        made.append(face)
        return factorised(P, A, face)

    monkeypatch.setattr(recent_systems, "factorised", counted)

    def value(b):
        A = jnp.concatenate([-jnp.eye(4), jnp.ones((1, 4))])
        return icg.solve(icg.conic(jnp.eye(4), jnp.arange(4.0) - 2.7182, A, b, cones.Nonnegative(5))).value

    b = jnp.array([0.0, 0.0, 0.0, 0.0, 1.0])
    value(b)
    alone = len(made)
    assert alone >= 1
    jax.jacrev(value)(b)
    assert len(made) == alone


def test_a_large_sparse_program_with_a_row_of_zeros_has_the_derivative_of_the_one_without():
    n = 300  # large enough for the sparse system, which an equality 0 = 0 makes exactly singular
    A = scipy.sparse.vstack([scipy.sparse.csr_array((1, n)), -scipy.sparse.eye_array(n)]).tocsr()
    q = jnp.sin(jnp.arange(1.0, n + 1))

    def value(q, zero=0.0):
        cone = cones.Product(cones.Zero(1), cones.Nonnegative(n))
        b = jnp.zeros(n + 1).at[0].set(zero)
        return icg.solve(icg.conic(scipy.sparse.eye_array(n), q, A, b, cone)).value

    found, along = jax.jvp(value, (q,), (q,))
    np.testing.assert_allclose(found, jnp.maximum(-q, 0), atol=1e-9)
    np.testing.assert_allclose(along, jnp.maximum(-q, 0), atol=1e-9)  # homogeneous of degree one
    with pytest.raises(icg.SolveError, match="singular"):
        jax.jvp(value, (q, 0.0), (q, 1.0))


def test_a_solution_that_is_not_unique_is_refused_by_name():
    with pytest.raises(icg.SolveError, match="not unique"):  # any x in [0, 1]
        icg.solve(
            icg.conic(None, [0.0, 1.0], -np.eye(4, 2) + np.eye(4, 2, -2), [0.0, 0.0, 1.0, 1.0], cones.Nonnegative(4))
        )


def test_several_threads_solve_and_differentiate_at_once():
    slope = jax.jit(jax.grad(lambda u: nearest(u).value[1]))
    points = [jnp.array([1.0, 3.0, 4.0]) + 0.1 * k for k in range(16)]
    alone = [slope(u) for u in points]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(slope, points))
    np.testing.assert_array_equal(alone, together)


@pytest.mark.parametrize(
    ("change", "name"),
    [({"q": np.ones(3)}, "A has shape"), ({"b": np.ones(2)}, "b has shape"), ({"P": np.ones((3, 2))}, "P has shape")],
)
def test_wrong_shapes_are_named(change, name):
    data = {"P": np.eye(2), "q": np.ones(2), "A": np.ones((3, 2)), "b": np.ones(3)} | change
    with pytest.raises(ValueError, match=name):
        icg.conic(**data, cone=cones.Nonnegative(3))


def test_a_strictly_convex_program_with_independent_constraints_is_certified_at_the_apex_of_a_cone():
    def nearest_to_apex(P):
        d = jnp.zeros(3)
        problem = icg.conic(P, d, -jnp.eye(3), d, cones.SecondOrder(3))
        return icg.certify(problem, icg.solve(problem, throw=False))

    assert nearest_to_apex(jnp.eye(3)).verdict == "certified"
    assert nearest_to_apex(jnp.diag(jnp.array([0.0, 1.0, 1.0]))).verdict != "certified"
