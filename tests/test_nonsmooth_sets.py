"""Sets of Jacobians agree with enumeration by hand, hold every nearby derivative, and say what they are."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import implicitcg.nonsmooth as ns
from implicitcg.nonsmooth import conservative_jacobian


def permutations(n):
    return [np.eye(n)[list(order)].tolist() for order in itertools.permutations(range(n))]


def unrolled(x, steps=6):
    return lax.scan(lambda z, _: (jnp.abs(z) / 2 + x, None), 0.0, None, length=steps)[0]


def pool(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (2,), (1,), "VALID")


def shrink(x):
    return jnp.sign(x) * jnp.maximum(jnp.abs(x) - 1.0, 0.0)


ones, zeros = np.ones, np.zeros
# program, point, its elements by hand
BY_HAND = {
    "constant with three derivatives": (
        lambda x: jax.nn.relu(-x) - jax.nn.relu(x) + x + 1 / 3,
        0.0,
        [-1, 0, 1],
    ),
    "abs": (jnp.abs, 0.0, [-1, 1]),
    "max(0, min(x1, x2))": (
        lambda x: jnp.maximum(0.0, jnp.minimum(x[0], x[1])),
        zeros(2),
        [[0, 0], [1, 0], [0, 1]],
    ),
    "nested max": (
        lambda x: jnp.maximum(jnp.maximum(x[0], 2 * x[0]), 3 * x[0]),
        0.0 * ones(1),
        [[1], [2], [3]],
    ),
    "the same kink twice is one choice": (lambda x: (lambda u: u - 2 * u)(jax.nn.relu(x)), 0.0, [0, -1]),
    "two equal kinks are two choices": (lambda x: jax.nn.relu(x) - jax.nn.relu(x + 0.0), 0.0, [0, 1, -1]),
    "sort with a triple tie": (jnp.sort, ones(3), permutations(3)),
    "median of a triple tie": (jnp.median, ones(3), np.eye(3).tolist()),
    "top two of four": (
        lambda x: lax.top_k(x, 2)[0],
        np.array([1.0, 2.0, 1.0, 0.0]),
        [[[0, 1, 0, 0], [1, 0, 0, 0]], [[0, 1, 0, 0], [0, 0, 1, 0]]],
    ),
    "max over an axis": (lambda x: x.max(), ones(3), np.eye(3).tolist()),
    "gather at argmax": (lambda x: 2 * x[jnp.argmax(x)], ones(2), [[2, 0], [0, 2]]),
    "gather by argsort": (lambda x: x[jnp.argsort(x)][0], ones(2), [[1, 0], [0, 1]]),
    "pooling with shared entries": (
        pool,
        np.array([1.0, 1.0, 0.0]),
        [[[1, 0, 0], [0, 1, 0]], [[0, 1, 0], [0, 1, 0]]],
    ),
    "cumulative maximum": (
        lambda x: lax.cummax(x)[2],
        ones(3),
        np.eye(3).tolist(),
    ),
    "where": (lambda x: jnp.where(x > 0, 3 * x, -x), 0.0, [3, -1]),
    "elu, whose guard repeats its comparison": (lambda x: jax.nn.elu(x, 0.5), 0.0, [1, 0.5]),
    "mask": (lambda x: (x > 0).astype(x.dtype) * x, 0.0, [0, 1]),
    "cond with a kink inside": (
        lambda x: lax.cond(x > 0, lambda: 2 * x, lambda: jnp.minimum(3 * x, 5 * x)),
        0.0,
        [2, 3, 5],
    ),
    "clip at a bound": (lambda x: jnp.clip(x, 0.0, 1.0), 1.0, [0, 1]),
    "soft threshold": (shrink, 1.0, [0, 1]),
    "absolute error of two": (lambda x: jnp.abs(x).sum(), zeros(2), [[1, 1], [1, -1], [-1, 1], [-1, -1]]),
    "a loop of two steps": (lambda x: unrolled(x, 2), 0.0, [0.5, 1.5]),
    "custom_vjp": (lambda x: signed(x) + x, 0.0, [0, 2]),
    "a smooth program": (jnp.exp, 0.0, [1]),
}


@jax.custom_vjp
def signed(x):
    return jnp.abs(x)


signed.defvjp(lambda x: (jnp.abs(x), x), lambda x, ct: (ct * jnp.where(x > 0, 1.0, -1.0),))


def as_rows(vertices):
    array = np.asarray(vertices, float)
    return np.unique(np.round(array.reshape(len(array), -1), 12) + 0.0, axis=0)


@functools.cache
def found_at(case):
    function, x, _ = BY_HAND[case]
    return conservative_jacobian(function, jnp.asarray(x))


@pytest.mark.parametrize("case", BY_HAND)
def test_sets_agree_with_enumeration_by_hand(case):
    found, expected = found_at(case), BY_HAND[case][2]
    if case == "a loop of two steps":
        # z1 = |0|/2 + x, z2 = |z1|/2 + x: the first slope multiplies dz0 = 0, so only the second one shows
        assert found.choices == 4
    assert found.exhaustive and found.jumps == 0
    assert np.array_equal(as_rows(found.vertices), as_rows(expected))


@pytest.mark.parametrize("case", [c for c in BY_HAND if c != "a smooth program"])
def test_nearby_smooth_points_have_derivatives_in_the_hull(case):
    function, x, _ = BY_HAND[case]
    x, found = jnp.asarray(x), found_at(case)
    steps = 1e-3 * np.random.default_rng(0).normal(size=(8, *x.shape))
    derivative = jax.jacrev if case == "custom_vjp" else jax.jacfwd
    for nearby in jax.vmap(derivative(function))(jnp.asarray(np.asarray(x) + steps)):
        # these programs are piecewise linear but for elu, whose slope moves by 1e-3 over the step
        assert found.contains(nearby, tol=2e-3)
    assert found.contains(derivative(function)(x))  # what JAX itself returns on the kink


def test_an_unrolled_fixed_point_has_the_set_of_the_theory():
    # J <- 1 + s J / 2 with s = -1 or 1 at every step: between 1 - (2 - e)/2 and 2 - e
    found = conservative_jacobian(unrolled, 0.0)
    e = 2.0**-4
    assert found.choices == 64
    assert float(found.vertices.max()) == pytest.approx(2 - e / 2)
    assert float(found.vertices.min()) == pytest.approx(1 - (2 - e) / 2)


def test_a_while_loop_takes_one_branch_in_all_steps_and_says_so():
    function = lambda x: lax.while_loop(lambda c: c[0] < 2, lambda c: (c[0] + 1, jnp.abs(c[1])), (0, x))[1]  # noqa: E731
    found = conservative_jacobian(function, 0.0)
    assert not found.exhaustive
    assert np.allclose(as_rows(found.vertices), [[1.0]])  # (-1)^2 and 1^2


def test_a_discontinuity_is_left_out():
    found = conservative_jacobian(lambda x: (x[0] > 0).astype(x.dtype) + x[1], jnp.zeros(2))
    assert found.jumps == 1
    assert found.vertices.tolist() == [[0.0, 1.0]]
    assert "discontinuity" in str(found)


def test_the_gradient_of_a_norm_at_the_origin_is_a_sampled_ball():
    for norm in (jnp.linalg.norm, ns.norm):
        found = conservative_jacobian(norm, jnp.zeros(2))
        assert not found.exhaustive
        assert found.is_stationary()
        assert not found.contains(jnp.array([0.9, 0.9]))


def test_an_infinite_slope_is_refused_with_advice():
    with pytest.raises(ValueError, match=r"icg\.nonsmooth\.norm"):
        conservative_jacobian(jnp.sqrt, 0.0)


def test_more_combinations_than_asked_for_are_sampled():
    found = conservative_jacobian(lambda x: jnp.abs(x).sum(), jnp.zeros(10), max_elements=100)
    assert not found.exhaustive
    assert found.choices == 1024 and found.kinks == 10
    assert 50 < len(found) <= 100
    assert "sampled" in str(found)


def test_tol_takes_in_the_kinks_nearby():
    function = lambda x: jnp.abs(x) + jnp.maximum(x, 1e-4)  # noqa: E731
    assert len(conservative_jacobian(function, 0.0)) == 2
    assert len(conservative_jacobian(function, 0.0, tol=1e-3)) == 4


def test_a_tree_of_inputs_gives_a_tree_of_vertices():
    point = {"a": jnp.array(0.0), "b": jnp.ones(3), "n": jnp.array(2)}
    found = conservative_jacobian(lambda d: jax.nn.relu(d["a"]) * d["b"].sum() * d["n"].astype(jnp.float64), point)
    assert sorted(found.vertices["a"].tolist()) == [0.0, 6.0]
    assert found.vertices["b"].shape == (2, 3)
    smallest = found.min_norm()
    assert smallest["a"] == 0 and smallest["b"].shape == (3,)


def test_the_smallest_element_of_the_hull_decides_on_stationarity():
    assert conservative_jacobian(lambda x: jnp.abs(x).sum(), jnp.zeros(3)).is_stationary()
    # at 0 the slopes are (1, 1) and (-1, 1): the hull passes (0, 1), which is not zero
    found = conservative_jacobian(lambda x: jnp.abs(x[0]) + x[1], jnp.zeros(2))
    assert np.allclose(found.min_norm(), [0.0, 1.0])
    assert not found.is_stationary()


def test_the_hull_holds_means_of_vertices_and_nothing_outside():
    found = conservative_jacobian(jnp.sort, jnp.ones(3))
    assert found.contains(jnp.full((3, 3), 1 / 3))
    assert not found.contains(jnp.full((3, 3), 1 / 3) + jnp.eye(3))
    assert found.distance(2 * jnp.eye(3)) > 0.5
    with pytest.raises(ValueError, match="shapes"):
        found.contains(jnp.ones(3))
    with pytest.raises(ValueError, match="scalar function"):
        found.min_norm()


def test_a_set_says_in_words_what_it_is():
    text = str(conservative_jacobian(jnp.abs, 0.0))
    assert "autodiff set" in text and "may exceed" in text
    assert "differentiable" in str(conservative_jacobian(jnp.abs, 1.0))


def test_a_traced_point_is_refused_with_advice():
    with pytest.raises(TypeError, match=r"icg\.kinks"):
        jax.jit(lambda x: conservative_jacobian(jnp.abs, x).vertices)(0.0)


def test_wide_and_tall_functions_agree_with_each_other():
    wide = lambda x: jnp.abs(x).sum()  # noqa: E731  (reverse mode: 12 inputs, one value)
    x = jnp.concatenate([jnp.zeros(2), jnp.arange(1.0, 11.0)])
    assert np.array_equal(
        as_rows(conservative_jacobian(wide, x).vertices),
        as_rows(conservative_jacobian(lambda x: jnp.stack([wide(x)] * 8), x).vertices[:, 0]),
    )


def test_closed_over_arrays_are_constants():
    bound = jnp.zeros(2)
    found = conservative_jacobian(lambda x: jnp.maximum(x, bound).sum(), jnp.zeros(2))
    assert len(found) == 4 and found.vertices.shape == (4, 2)


def test_points_in_float32_stay_float32():
    found = conservative_jacobian(jnp.abs, jnp.zeros((), jnp.float32))
    assert found.vertices.dtype == jnp.float32 and len(found) == 2
