"""Cone programs: their solutions and derivatives, against enumeration, differences and other solvers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import implicitcg as icg

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
