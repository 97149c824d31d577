"""INNA, the ridge method, step sizes and batches: numbers of the papers, exact fields, and what is refused."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import implicitcg as icg


def test_inna_follows_the_worked_example():
    method, theta = icg.optim.inna(optax.constant_schedule(0.1)), jnp.array(1.0)
    state, seen = method.init(theta), []
    assert float(state.psi) == pytest.approx(0.95, abs=1e-15)
    for _ in range(5):
        updates, state = method.update(jax.grad(lambda t: t**2 / 2)(theta), state, theta)
        theta = optax.apply_updates(theta, updates)
        seen.append(float(theta))
    # five steps in float64, given to ten digits
    np.testing.assert_allclose(seen, [0.99, 0.9706, 0.942464, 0.90631016, 0.8629009104], rtol=0, atol=1e-10)


def test_inna_trains_a_tree_under_jit_and_scan_in_float32():
    X = jnp.asarray(np.random.default_rng(0).standard_normal((40, 3)), jnp.float32)
    y = jnp.abs(X[:, 0]) + 0.5
    start = {"w": jnp.ones(3, jnp.float32), "b": jnp.zeros((), jnp.float32)}

    def loss(theta):
        return jnp.mean(jnp.abs(jnp.abs(X @ theta["w"]) + theta["b"] - y))

    method = icg.optim.inna(0.1)

    def step(carry, _):
        theta, state = carry
        updates, state = method.update(jax.grad(loss)(theta), state, theta)
        return (optax.apply_updates(theta, updates), state), loss(theta)

    (theta, state), losses = jax.lax.scan(step, (start, method.init(start)), None, length=400)
    assert losses[-1] < 0.2 * losses[0]
    assert theta["w"].dtype == jnp.float32 and state.psi["w"].dtype == jnp.float32 and state.count == 400


@pytest.mark.parametrize("options", [{"alpha": -1.0}, {"beta": 0.0}, {"learning_rate": 0.0}])
def test_inna_refuses_coefficients_outside_the_theory(options):
    with pytest.raises(ValueError, match=r"INNA needs|positive step"):
        icg.optim.inna(**{"learning_rate": 0.1, **options})


def test_inna_says_that_it_needs_the_parameters():
    method = icg.optim.inna(0.1)
    with pytest.raises(ValueError, match="current parameters"):
        method.update(jnp.ones(2), method.init(jnp.ones(2)))


def test_steps_that_stop_too_early_or_never_vanish_are_refused():
    for power in (0.0, 1.5):
        with pytest.raises(ValueError, match=r"\(0, 1\]"):
            icg.optim.vanishing_steps(0.1, power)
    assert float(icg.optim.vanishing_steps(0.2, 1.0)(3)) == pytest.approx(0.05)


def test_every_epoch_shows_every_sample_once_in_a_new_order():
    batches = icg.optim.reshuffled(jax.random.key(3), 10, 4)
    epochs = [np.concatenate(list(itertools.islice(batches, 3))) for _ in range(2)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 2
    assert (epochs[0] != epochs[1]).any()
    again = np.concatenate(list(itertools.islice(icg.optim.reshuffled(jax.random.key(3), 10, 4), 3)))
    np.testing.assert_array_equal(again, epochs[0])
    sizes = [len(b) for b in itertools.islice(icg.optim.reshuffled(jax.random.key(3), 10, 4, drop_last=True), 5)]
    assert sizes == [4] * 5
    with pytest.raises(ValueError, match="batch_size"):
        icg.optim.reshuffled(jax.random.key(0), 3, 4)


def tent(x, y):
    return -jnp.abs(x - y) + x**2 / 10


def test_the_ridge_element_of_the_tent_is_the_derivative_of_its_maximum():
    for x in (-2.0, 0.0, 0.3, 4.0):
        assert float(icg.optim.ridge_element(tent, x, x).v) == pytest.approx(x / 5, abs=1e-12)


def test_the_naive_partial_derivative_goes_to_five_and_the_ridge_method_to_zero():
    method = icg.optim.ridge_method(tent, inner=lambda x: x)
    naive = right = jnp.array(4.0)
    for k in range(40):
        step = 2.0 / (k + 1) ** 0.5
        naive = naive - step * jax.grad(tent)(naive, naive)
        right = right - step * method(right)[1]
    assert float(jax.grad(tent)(3.0, 3.0)) == pytest.approx(-1 + 3 / 5)
    # each step multiplies the distance to the point it goes to by 1 - 0.4 / sqrt(k + 1); equal to rounding
    shrunk = np.prod(1 - 0.4 / np.sqrt(np.arange(1, 41)))
    assert float(naive) == pytest.approx(5 - shrunk, abs=1e-12)
    assert float(right) == pytest.approx(4 * shrunk, abs=1e-12)


def test_a_min_min_problem_with_a_constrained_inner_variable_agrees_with_differences():
    A = jnp.asarray(np.random.default_rng(1).standard_normal((3, 2)))

    def g(x, y):  # min over y in [0, 1]^2
        return jnp.sum((A @ jnp.clip(y, 0.0, 1.0) - x["a"]) ** 2) + x["b"] * jnp.abs(y[0] - 0.5)

    def inner(x):  # far outside the box where its bound is active, so that the clipped variable has derivative zero
        grid = jnp.linspace(0, 1, 2001)
        best = None
        for first in (0.0, 0.5, 1.0):
            values = jax.vmap(lambda s, f=first: g(x, jnp.array([f, s])))(grid)
            if best is None or values.min() < best[0]:
                best = (values.min(), first, grid[values.argmin()])
        return jnp.array([best[1], best[2]])

    x = {"a": jnp.array([0.7, -1.3, 0.2]), "b": jnp.array(50.0)}
    y = inner(x)
    y = jnp.array([0.5, jnp.clip((A[:, 1] @ (x["a"] - 0.5 * A[:, 0])) / (A[:, 1] @ A[:, 1]), 0, 1)])
    element = icg.optim.ridge_element(g, x, y)

    def value(a):  # the same minimum in closed form: y_0 stays at 1/2, y_1 is a clipped least-squares solution
        s = jnp.clip((A[:, 1] @ (a - 0.5 * A[:, 0])) / (A[:, 1] @ A[:, 1]), 0, 1)
        return jnp.sum((0.5 * A[:, 0] + s * A[:, 1] - a) ** 2)

    np.testing.assert_allclose(element.v["a"], jax.grad(value)(x["a"]), atol=1e-10)
    assert float(element.v["b"]) == pytest.approx(0.0, abs=1e-12)


def test_a_point_that_is_not_critical_inside_is_refused_with_advice():
    with pytest.raises(ValueError, match="inner problem more tightly"):
        icg.optim.ridge_element(tent, 1.0, 0.5)


def test_the_ridge_method_traces_once_over_many_kinks_and_mini_batches():
    traces = []

    def g(x, y, shift):
        traces.append(1)
        return -jnp.abs(x - y) + (x - shift) ** 2 / 10

    method = icg.optim.ridge_method(g, inner=lambda x, shift: x)
    slopes, counts = [], []
    for x in (4.0, 3.0, -1.0):
        slopes.append(float(method(x, 1.0)[1]))
        counts.append(len(traces))
    np.testing.assert_allclose(slopes, [(x - 1) / 5 for x in (4.0, 3.0, -1.0)], atol=1e-12)
    assert counts[0] == counts[-1]


def test_the_ridge_method_inside_jit_is_refused_with_advice():
    with pytest.raises(TypeError, match="Call it outside jit"):
        jax.jit(icg.optim.ridge_method(tent, inner=lambda x: x))(1.0)
