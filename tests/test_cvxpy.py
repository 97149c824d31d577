"""CVXPY layers: the interface of a drop-in, CVXPY's own answers, finite differences, statuses, threads."""

import cvxpy as cp
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import implicitcg as icg

rng = np.random.default_rng(0)
u, t = cp.Parameter(3, name="u"), cp.Parameter(nonneg=True, name="t")
x = cp.Variable(3, name="x")
budget, sign = cp.sum(x) == 1, x >= 0
SIMPLEX = cp.Problem(cp.Minimize(cp.sum_squares(x) * t - 2 * u @ x), [budget, sign])
layer = icg.CvxpyLayer(SIMPLEX, [u, t], [x, budget.dual_variables[0]])
POINT = jnp.array([1.0, 0.5, -1.0])


def test_a_call_takes_parameters_in_order_and_returns_a_tuple_of_variables():
    weights, price = layer(POINT, 1.0)
    np.testing.assert_allclose(weights, [0.75, 0.25, 0.0], atol=1e-12)
    np.testing.assert_allclose(price, 0.5, atol=1e-12)  # 2 (x_1 - u_1) + price = 0
    swapped = icg.CvxpyLayer(SIMPLEX, parameters=(t, u), variables=(x,), solver="CLARABEL")
    np.testing.assert_allclose(swapped(1.0, POINT)[0], weights, atol=1e-12)


def test_batches_lead_each_parameter_with_or_without():
    many = jnp.stack([POINT, 2 * POINT, POINT[::-1]])
    scale = jnp.array([1.0, 2.0, 3.0])
    loop = [layer(many[i], scale[i]) for i in range(3)]
    for got, want in zip(layer(many, scale), zip(*loop, strict=True), strict=True):
        np.testing.assert_allclose(got, np.stack(want), atol=1e-12)
    assert [out.shape for out in layer(many, 1.0)] == [(3, 3), (3,)]
    assert [out.shape for out in layer(many[:, None], jnp.ones((3, 1)))] == [(3, 1, 3), (3, 1)]
    np.testing.assert_allclose(jax.vmap(layer, (0, None))(many, 1.0)[0], layer(many, 1.0)[0], atol=1e-12)


def test_every_transformation_agrees_with_the_projection_on_the_simplex():
    def project(u):
        return layer(u, 1.0)[0]

    exact = jnp.array([[0.5, -0.5, 0.0], [-0.5, 0.5, 0.0], [0.0, 0.0, 0.0]])
    for derivative in (jax.jacfwd, jax.jacrev):
        np.testing.assert_allclose(jax.jit(derivative(project))(POINT), exact, atol=1e-12)
    # in t the projection is that of u / t: x = (1 + (u_1 - u_2) / t) / 2, ...
    second = jax.jit(jax.hessian(lambda t: layer(POINT, t)[0][0]))(2.0)
    np.testing.assert_allclose(second, (POINT[0] - POINT[1]) / 2.0**3, atol=1e-10)


def test_a_layer_is_a_pytree_without_leaves_that_is_traced_once():
    assert jax.tree.leaves(layer) == []
    traces = []

    @eqx.filter_jit
    def run(layer, u):
        traces.append(1)
        return layer(u, 1.0)[0]

    run(layer, POINT), run(layer, 2 * POINT)
    assert len(traces) == 1


def named(message, function):
    with pytest.raises((ValueError, TypeError, icg.SolveError)) as caught:
        function()
    assert message in str(caught.value), str(caught.value)


def test_wrong_calls_name_the_parameter():
    named("2 parameters ('u', 't')", lambda: layer(POINT))
    named("'u' of shape (3,) has shape (2,)", lambda: layer(jnp.ones(2), 1.0))
    named("'u' has (4,), 't' has (5,)", lambda: layer(jnp.ones((4, 3)), jnp.ones(5)))
    named("'t' of shape () is not nonneg", lambda: layer(POINT, -1.0))
    named("'u' of shape (3,) is not finite at index (1,)", lambda: layer(POINT.at[1].set(jnp.nan), 1.0))
    named("no setting 'sharpness'", lambda: layer(POINT, 1.0, solver_args={"sharpness": 1.0}))


def test_problems_that_cannot_be_layers_are_refused_by_name():
    a, b, z = cp.Parameter(name="a"), cp.Parameter(name="b"), cp.Variable(2, boolean=True, name="z")
    named("lacks 't'", lambda: icg.CvxpyLayer(SIMPLEX, [u], [x]))
    named("has 'a', which the problem does not use", lambda: icg.CvxpyLayer(SIMPLEX, [u, t, a], [x]))
    named("'u' stands twice", lambda: icg.CvxpyLayer(SIMPLEX, [u, t, u], [x]))
    named("has 'z', which is neither", lambda: icg.CvxpyLayer(SIMPLEX, [u, t], [z]))
    product = cp.Problem(cp.Minimize(cp.sum(x)), [x >= 0, x >= a * b])
    named("(DPP) in constraint 1,", lambda: icg.CvxpyLayer(product, [a, b], [x]))
    named("'z' takes integer", lambda: icg.CvxpyLayer(cp.Problem(cp.Minimize(a * cp.sum(z))), [a], [z]))
    concave = cp.Problem(cp.Minimize(cp.sum(cp.sqrt(x))), [x >= a])
    named("(DCP), by the rules of CVXPY, in the objective", lambda: icg.CvxpyLayer(concave, [a], [x]))
