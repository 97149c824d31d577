"""`with_ties` changes the derivative at kinks, and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import implicitcg.nonsmooth as ns
from implicitcg.nonsmooth import Seed, conservative_jacobian, with_ties


def constant(x):
    return jax.nn.relu(-x) - jax.nn.relu(x) + x + 1 / 3


@pytest.mark.parametrize(("tie", "slope"), [(0.0, 1.0), (0.5, 0.0), (1.0, -1.0), ({"relu": 0.25}, 0.5)])
def test_a_uniform_rule_gives_a_constant_another_derivative(tie, slope):
    tied = with_ties(constant, tie)
    assert tied(0.0) == constant(0.0)
    assert jax.grad(tied)(0.0) == slope
    assert jax.jvp(tied, (0.0,), (3.0,))[1] == 3 * slope
    assert jax.jit(jax.grad(tied))(0.0) == slope
    assert jax.vmap(jax.grad(tied))(jnp.array([-1.0, 0.0, 1.0])).tolist() == [0.0, slope, 0.0]
    assert jax.grad(lambda x: jax.jit(tied)(x))(0.0) == slope


@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_a_direction_gives_the_true_directional_derivative(direction):
    assert jax.grad(with_ties(constant, direction=direction))(0.0) == 0.0


PIECEWISE = {
    "max(0, min(x1, x2))": lambda x: jnp.maximum(0.0, jnp.minimum(x[0], x[1])),
    "median": jnp.median,
    "second largest": lambda x: jnp.sort(x)[-2],
    "top_k": lambda x: lax.top_k(x, 2)[0][1],
    "pooling": lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (2,), (1,), "VALID").sum(),
    "cond": lambda x: lax.cond(x[0] > x[1], lambda: x[0], lambda: x[1]) * 2,
    "argmax": lambda x: x[jnp.argmax(x)],
    "loop": lambda x: lax.scan(lambda c, a: (jnp.abs(c - a), None), x[0], x)[0],
    "l1": lambda x: jnp.abs(x).sum(),
    "l2": lambda x: jnp.linalg.norm(x),
}


@pytest.mark.parametrize("case", PIECEWISE)
def test_the_derivative_along_its_direction_is_one_sided(case):
    function, x = PIECEWISE[case], jnp.zeros(3)
    for seed in range(2):
        d = jnp.asarray(np.random.default_rng(seed).normal(size=3))
        along = jax.jvp(with_ties(function, direction=d), (x,), (d,))[1]
        # positively homogeneous programs: f(d) is the one-sided derivative at 0, exactly
        assert float(along) == pytest.approx(float(function(d)), abs=1e-12)


@pytest.mark.parametrize("case", PIECEWISE)
def test_random_selections_are_elements_of_the_set(case):
    function, x = PIECEWISE[case], jnp.zeros(3)
    found = conservative_jacobian(function, x)
    seen = set()
    for seed in range(4):
        gradient = jax.grad(with_ties(function, Seed(seed)))(x)
        assert found.contains(gradient) or not found.exhaustive
        assert jnp.array_equal(gradient, jax.grad(with_ties(function, Seed(seed)))(x))
        seen.add(tuple(np.asarray(gradient).round(12).tolist()))
    assert len(seen) > 1


def test_a_key_is_a_seed():
    gradient = jax.grad(with_ties(lambda x: jnp.abs(x).sum(), jax.random.key(1)))(jnp.zeros(8))
    assert set(np.abs(gradient).tolist()) == {1.0} and abs(float(gradient.sum())) < 8


def test_away_from_kinks_nothing_changes():
    x = jnp.array([0.3, -1.2, 2.0])
    function = lambda x: (jnp.sort(x) * jnp.arange(3.0)).sum() + jnp.abs(x).max()  # noqa: E731
    for rule in (0.0, 1.0, Seed(0)):
        assert jnp.array_equal(jax.grad(with_ties(function, rule))(x), jax.grad(function)(x))


def test_the_upstream_gradient_is_multiplied():
    gradient = jax.grad(lambda x: jnp.exp(3 * with_ties(jnp.abs, 1.0)(x)))(0.0)
    assert gradient == 3.0


def test_second_derivatives_follow_the_rule():
    square = lambda x: (jax.nn.relu(x) ** 2).sum()  # noqa: E731
    assert jax.hessian(with_ties(square, 1.0))(jnp.zeros(2)).tolist() == [[2.0, 0.0], [0.0, 2.0]]
    assert (jax.hessian(with_ties(square, 0.0))(jnp.zeros(2)) == 0).all()
    x = jnp.array([3.0, 4.0])
    assert np.allclose(jax.hessian(with_ties(jnp.linalg.norm, 0.5))(x), jax.hessian(jnp.linalg.norm)(x))


def test_what_a_function_closes_over_is_differentiated():
    outer = lambda c: with_ties(lambda x: 2 * jnp.maximum(x, c), 0.0)(0.0)  # noqa: E731
    assert jax.grad(outer)(0.0) == 2.0
    assert jax.jit(jax.grad(outer))(0.0) == 2.0


def test_trees_and_keywords_pass():
    function = lambda p, *, scale: scale * jnp.maximum(p["a"], p["b"])  # noqa: E731
    gradient = jax.grad(with_ties(function, 1.0))({"a": 0.0, "b": 0.0}, scale=2.0)
    assert gradient == {"a": 2.0, "b": 0.0}


def test_a_rule_passes_scans_and_reverse_mode_of_them():
    running = lambda x: lax.scan(lambda c, a: (jnp.maximum(c, a), None), x[0], x)[0]  # noqa: E731
    assert jax.grad(with_ties(running, 0.0))(jnp.ones(3)).tolist() == [0.0, 0.0, 1.0]
    assert jax.grad(with_ties(running, 1.0))(jnp.ones(3)).tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("rule", [-0.1, 1.5, {"relu": 2.0}])
def test_values_outside_the_convex_range_are_refused(rule):
    with pytest.raises(ValueError, match="between 0 and 1"):
        with_ties(constant, rule)


def test_a_traced_value_outside_the_convex_range_is_refused_when_it_runs(fails_with):
    fails_with("between 0 and 1", jax.jit(lambda t: jax.grad(with_ties(constant, t))(0.0)), 2.0)
    assert jax.jit(lambda t: jax.grad(with_ties(constant, t))(0.0))(0.5) == 0.0


def test_mistakes_are_answered_with_advice():
    with pytest.raises(ValueError, match="either a rule"):
        with_ties(constant)
    with pytest.raises(TypeError, match="Seed or a key"):
        with_ties(constant, "random")
    with pytest.raises(ValueError, match=r"no kink called \['max'\]; it has \['relu'\]"):
        jax.grad(with_ties(constant, {"max": 1.0}))(0.0)
    with pytest.raises(ValueError, match="one number of the direction"):
        with_ties(jnp.max, direction=jnp.ones(2))(jnp.ones(3))


def test_nothing_is_lost_on_library_pieces():
    assert jax.grad(with_ties(ns.relu, 0.3))(0.0) == 0.3
    assert jax.grad(with_ties(lambda x: ns.relu(x, tie=1.0), 0.0))(0.0) == 0.0
