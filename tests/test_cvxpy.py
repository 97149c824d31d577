"""CVXPY layers: the interface of a drop-in, CVXPY's own answers, finite differences, statuses, threads."""

import pickle
from concurrent.futures import ThreadPoolExecutor

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


def nonnegative_least_squares():
    X, y, w = cp.Parameter((6, 4)), cp.Parameter(6), cp.Variable(4, nonneg=True)
    return (
        cp.Problem(cp.Minimize(cp.sum_squares(X @ w - y))),
        [X, y],
        [w],
        [rng.standard_normal((6, 4)), np.arange(6.0)],
    )


def portfolio():
    mean, root, risk = cp.Parameter(4), cp.Parameter((4, 4)), cp.Parameter(nonneg=True)
    w = cp.Variable(4)
    limits = [cp.sum(w) == 1, w >= 0, cp.norm(root @ w) <= risk]
    L = np.tril(0.3 * rng.standard_normal((4, 4))) + 0.6 * np.eye(4)
    return (
        cp.Problem(cp.Maximize(mean @ w), limits),
        [mean, root, risk],
        [w],
        [np.array([0.1, 0.3, 0.2, 0.25]), L, 0.45],
    )


def linear_program():
    c, b, w = cp.Parameter(2), cp.Parameter(2), cp.Variable(2)
    rows = [np.array([[2.0, 1.0], [1.0, 3.0]]) @ w <= b, w >= 0]
    return (
        cp.Problem(cp.Maximize(c @ w), rows),
        [c, b],
        [w, rows[0].dual_variables[0]],
        [np.ones(2), np.array([3.0, 4.0])],
    )


def logistic():
    X, ridge, w = cp.Parameter((7, 2)), cp.Parameter(nonneg=True), cp.Variable(2)
    y = np.sign(np.sin(1.0 + np.arange(7)))
    loss = cp.sum(cp.logistic(cp.multiply(-y, X @ w)))
    return (
        cp.Problem(cp.Minimize(loss + ridge * cp.sum_squares(w))),
        [X, ridge],
        [w],
        [rng.standard_normal((7, 2)), 0.5],
    )


def semidefinite():
    S, X = cp.Parameter((3, 3), symmetric=True), cp.Variable((3, 3), PSD=True)
    limits = [cp.trace(X) == 1]
    M = rng.standard_normal((3, 3))
    return cp.Problem(cp.Minimize(cp.sum_squares(X - S)), limits), [S], [X, limits[0].dual_variables[0]], [M + M.T]


def groups():
    a, k, w = cp.Parameter(4), cp.Parameter(nonneg=True), cp.Variable(4)
    loss = cp.sum_squares(w - a) + k * (cp.norm(w[:2]) + cp.norm(w[2:]))
    return cp.Problem(cp.Minimize(loss)), [a, k], [w], [np.array([1.0, -0.5, 2.0, 0.3]), 0.7]


def quadratic_form():
    P, q, w = cp.Parameter((3, 3), PSD=True), cp.Parameter(3), cp.Variable(3)
    M = rng.standard_normal((3, 3))
    return cp.Problem(cp.Minimize(cp.quad_form(w, P) + q @ w), [w <= 1]), [P, q], [w], [M @ M.T + np.eye(3), np.ones(3)]


def entropy():
    q, w = cp.Parameter(3, pos=True), cp.Variable(3)
    return cp.Problem(cp.Minimize(cp.sum(cp.kl_div(w, q))), [cp.sum(w) == 1]), [q], [w], [np.array([0.2, 0.5, 0.6])]


def geometric():
    a, b, v = cp.Parameter(2, pos=True), cp.Parameter(pos=True), cp.Variable(2, pos=True)
    cost = a[0] * v[0] + b * v[1] / v[0] + 1 / v[1]
    return cp.Problem(cp.Minimize(cost), [v[0] * v[1] >= a[1]]), [a, b], [v], [np.array([1.0, 2.0]), 2.0]


def slack_norm():
    a, r, w = cp.Parameter(2), cp.Parameter(nonneg=True), cp.Variable(2)
    return cp.Problem(cp.Minimize(cp.sum_squares(w - a)), [cp.norm(w) <= r]), [a, r], [w], [np.array([1.0, -1.5]), 9.0]


def complex_least_squares():
    g, w = cp.Parameter(2, complex=True), cp.Variable(2, complex=True)
    problem = cp.Problem(cp.Minimize(cp.sum_squares(w - g)), [cp.real(w) >= 0.5])
    return problem, [g], [w], [np.array([1 + 1j, 0.2 - 1j])]


FAMILIES = [
    nonnegative_least_squares, portfolio, linear_program, logistic, semidefinite, groups, quadratic_form, entropy,
    geometric, slack_norm, complex_least_squares,
]  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_values_are_those_of_cvxpy_and_gradients_those_of_differences(family):
    problem, parameters, variables, values = family()
    gp = family is geometric
    own = icg.CvxpyLayer(problem, parameters, variables, gp=gp)
    for parameter, value in zip(parameters, values, strict=True):
        parameter.value = value
    problem.solve(solver="CLARABEL", gp=gp, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
    values = [jnp.asarray(value) for value in values]
    found, pull = jax.vjp(own, *values)
    for got, variable in zip(found, variables, strict=True):
        # Clarabel's gap bounds the error of the value; in the variables it may be its square root, 1e-5
        np.testing.assert_allclose(got, variable.value, atol=2e-5)
    weights = [jnp.cos(jnp.arange(1.0, f.size + 1)).reshape(f.shape).astype(f.dtype) for f in found]
    direction = []
    for value, parameter in zip(values, parameters, strict=True):
        d = jnp.sin(jnp.arange(1.0, value.size + 1)).reshape(value.shape).astype(value.dtype)
        symmetric = parameter.attributes["symmetric"] or parameter.attributes["PSD"]
        direction.append((d + d.T) / 2 if symmetric else d)
    h = 1e-5
    both = own(*(jnp.stack([v + h * d, v - h * d]) for v, d in zip(values, direction, strict=True)))
    slope = sum(jnp.real(jnp.vdot(w, b[0] - b[1])) for w, b in zip(weights, both, strict=True)) / (2 * h)
    pulled = pull(tuple(weights))
    # JAX's cotangent of a complex number is the conjugate of the gradient
    total = sum(jnp.real(jnp.sum(g * d)) for g, d in zip(pulled, direction, strict=True))
    # h^2 from the third derivative and rounding / h from solutions good to 1e-10
    np.testing.assert_allclose(total, slope, rtol=2e-5, atol=2e-5)


def test_an_infeasible_element_says_so_and_leaves_the_others_alone():
    bound, w = cp.Parameter(name="bound"), cp.Variable(2, name="w", nonneg=True)
    own = icg.CvxpyLayer(cp.Problem(cp.Minimize(cp.sum_squares(w - 1)), [cp.sum(w) <= bound]), [bound], [w])
    bounds = jnp.array([1.0, -1.0, 3.0])
    named("In element 1 of the batch. These clash: constraint 0, `Sum(w", lambda: own(bounds))
    named("bounds on 'w'", lambda: own(-1.0))
    solution = own.solve(bounds, throw=False)
    assert solution.converged.tolist() == [True, False, True]
    np.testing.assert_allclose(solution.value[0][jnp.array([0, 2])], [[0.5, 0.5], [1.0, 1.0]], atol=1e-7)

    def loss(b, keep):
        found = own.solve(b, throw=False)
        return jnp.where(keep | found.converged, found.value[0].sum(), 0.0)

    naive, masked = (jax.vmap(jax.grad(loss), (0, None))(bounds, keep) for keep in (True, False))
    np.testing.assert_allclose(naive, [1.0, np.nan, 0.0], atol=1e-9)  # a derivative that does not exist is NaN,
    np.testing.assert_allclose(masked, [1.0, 0.0, 0.0], atol=1e-9)  # and a loss that leaves it out stays finite
    assert jnp.isnan(solution.value[0][1]).all()


def test_what_runs_away_is_named():
    c, w, z = cp.Parameter(name="c"), cp.Variable(name="w"), cp.Variable(name="z")
    own = icg.CvxpyLayer(cp.Problem(cp.Minimize(c * w + z), [w >= 0, z >= 0]), [c], [w, z])
    np.testing.assert_allclose(own(1.0), [0.0, 0.0], atol=1e-9)
    named("What can grow without bound: 'w'", lambda: own(-1.0))


def test_certificates_speak_of_the_layer():
    assert layer.certificate(POINT, 1.0).verdict == "certified"
    problem, parameters, variables, values = slack_norm()
    certificate = icg.CvxpyLayer(problem, parameters, variables).certificate(*values)
    assert certificate.verdict == "unknown" and "a constraint is slack" in certificate.reason


def test_a_variable_that_is_not_unique_is_refused():
    c, w = cp.Parameter(), cp.Variable(2)
    flat = icg.CvxpyLayer(cp.Problem(cp.Minimize(cp.square(cp.sum(w) - c)), [w >= 0]), [c], [w])
    named("not unique", lambda: flat(1.0))


def test_options_reach_the_solver_under_the_names_of_others():
    named("step limit", lambda: layer(POINT, 1.0, solver_args={"max_iters": 1, "eps": 1e-9}))
    with pytest.warns(UserWarning, match="'mode' of the solver has no effect"):
        layer(POINT, 1.0, solver_args={"mode": "lsqr"})
    named("no solver 'NOPE'", lambda: icg.CvxpyLayer(SIMPLEX, [u, t], [x], solver="NOPE"))


def test_the_keywords_of_cvxpylayers_and_other_solvers_and_copies_lead_to_the_same_point():
    want = layer(POINT, 1.0)[0]
    with pytest.warns(UserWarning, match="every call starts cold"):
        np.testing.assert_array_equal(layer(POINT, 1.0, warm_start=True, solver_args={})[0], want)
    np.testing.assert_array_equal(layer(POINT, 1.0, warm_start=False)[0], want)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(layer))(POINT, 1.0)[0], want)
    other = icg.CvxpyLayer(SIMPLEX, [u, t], [x], solver="SCS", solver_args={"eps": 1e-6, "max_iters": 5000})
    np.testing.assert_allclose(other(POINT, 1.0)[0], want, atol=1e-12)  # after Newton's method


def test_single_precision_stays_single():
    point = POINT.astype(jnp.float32)
    single, slope = jax.jit(jax.value_and_grad(lambda u: layer(u, jnp.float32(1.0))[0][0]))(point)
    assert single.dtype == slope.dtype == jnp.float32
    np.testing.assert_allclose(single, 0.75, rtol=1e-6)
    np.testing.assert_allclose(slope, [0.5, -0.5, 0.0], atol=1e-6)


def test_threads_share_a_layer():
    points = [POINT * (1 + 0.1 * i) for i in range(16)]
    alone = [layer(point, 1.0)[0] for point in points]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda point: layer(point, 1.0)[0], points))
    np.testing.assert_array_equal(np.stack(together), np.stack(alone))
