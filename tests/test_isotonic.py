"""The linear-time algorithms on long and adversarial inputs, against other implementations and by their own laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jax.sharding import Mesh, PartitionSpec
from sklearn.isotonic import isotonic_regression

import implicitcg as icg
from implicitcg.nonsmooth.hull import distance

isotonic = jax.jit(icg.projections.isotonic)
total_variation = jax.jit(icg.prox.total_variation)
random = np.random.default_rng(0)

LONG = {
    "noise": random.standard_normal(2000),
    "decreasing": -np.arange(2000.0),
    "increasing": np.arange(2000.0),
    "one entry that undoes all": np.append(np.arange(1999.0), -1e7),
    "saw": np.tile([1.0, -1.0], 1000),
    "random walk": np.cumsum(random.standard_normal(2000)),
    "all equal": np.full(2000, 0.1),
    "many magnitudes": random.standard_normal(2000) * 10.0 ** random.integers(-8, 9, 2000),
}
every_signal = pytest.mark.parametrize("name", LONG)


@every_signal
def test_isotonic_regression_is_that_of_scikit_learn(name):
    x = LONG[name]
    room = 1e-13 * np.abs(x).max()  # sums of 2000 entries
    np.testing.assert_allclose(isotonic(x), isotonic_regression(x), rtol=1e-12, atol=room)


@every_signal
@pytest.mark.parametrize("t", [0.0, 1e-3, 1.0, 1e4])
def test_the_dual_of_total_variation_is_bounded_and_touches_where_the_signal_jumps(name, t):
    # the sums s_i of z - x up to i are the multipliers: |s_i| <= t, s_i = t sign(jump) at jumps, the last one 0
    x = LONG[name]
    z = np.asarray(total_variation(x, t))
    dual, jump = np.cumsum(z - x), np.diff(z)
    room = 1e-15 * np.abs(x).max() * len(x)
    assert np.abs(dual).max() <= t + room
    assert abs(dual[-1]) <= room
    np.testing.assert_allclose(dual[:-1][jump != 0], t * np.sign(jump[jump != 0]), atol=room)


def test_values_that_differ_by_1e_9_are_not_pooled():
    x = jnp.asarray([1.0, 1.0 + 1e-9, 1.0 + 2e-9, 0.5, 2.0])
    np.testing.assert_array_equal(isotonic(x[:3]), x[:3])
    assert jnp.array_equal(jax.jacobian(icg.projections.isotonic)(x[:3]), jnp.eye(3))


def test_a_batch_is_a_loop_for_both():
    batch = np.stack([LONG[name][:100] for name in LONG]).reshape(2, 4, 100)
    for run in (isotonic, lambda x: total_variation(x, 0.5)):
        np.testing.assert_array_equal(run(batch), np.stack([[run(x) for x in row] for row in batch]))


def test_a_product_with_the_jacobian_is_the_mean_over_the_runs():
    x, v = LONG["noise"], random.standard_normal(2000)

    @jax.jit
    def both_modes(x, v):
        value, pushed = jax.jvp(icg.projections.isotonic, (x,), (v,))
        return value, pushed, jax.vjp(icg.projections.isotonic, x)[1](v)[0]

    value, pushed, pulled = both_modes(x, v)
    runs = np.cumsum(np.diff(value, prepend=-np.inf) > 0) - 1
    means = np.bincount(runs, v) / np.bincount(runs)
    np.testing.assert_allclose(pushed, means[runs], atol=1e-13)
    np.testing.assert_allclose(pulled, pushed, atol=1e-13)
    step = (isotonic(x + 1e-7 * v) - isotonic(x - 1e-7 * v)) / 2e-7
    np.testing.assert_allclose(step, pushed, atol=1e-7)


entries = st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 1.0 + 1e-9, 3.0, 1e8, -1e-8])
signals = arrays(np.float64, 8, elements=entries)
jacobians = {
    "isotonic": jax.jit(jax.vmap(jax.jacfwd(icg.projections.isotonic))),
    "total variation": jax.jit(jax.vmap(jax.jacfwd(lambda x: icg.prox.total_variation(x, 0.5)))),
}


@settings(max_examples=25, deadline=None, derandomize=True)
@given(signals)
def test_jacobians_at_ties_are_finite_projections(x):
    for jacobian in jacobians.values():
        (J,) = np.asarray(jacobian(jnp.asarray(x)[None]))
        np.testing.assert_allclose(J, J.T, atol=1e-15)
        np.testing.assert_allclose(J @ J, J, atol=1e-14)  # means over runs


@settings(max_examples=25, deadline=None, derandomize=True)
@given(signals)
def test_the_cone_and_its_polar_split_every_vector(x):
    p = np.asarray(isotonic(x))
    rest = x - p
    size = 1 + np.abs(x).max()
    assert np.all(np.diff(p) >= 0)
    # the polar cone: sums from the left are nonnegative, the whole sum is zero
    assert np.all(np.cumsum(rest) >= -1e-14 * size * 8) and abs(rest.sum()) <= 1e-14 * size * 8
    assert abs(rest @ p) <= 1e-14 * size**2 * 8
    np.testing.assert_allclose(isotonic(p), p, rtol=1e-15)


@pytest.mark.parametrize("point", [[1, 1, 1, 1, 1, 1, 1, 1], [0, 2, 1, 1.5, 1.5, 1, 2, 3], [3, 1, 2, 2, 2, 5, 4, 6]])
def test_the_pieces_of_isotonic_regression_that_meet_at_a_tie(point):
    point = np.asarray(point, float)
    directions = random.standard_normal((2000, 8))
    nearby = np.asarray(jacobians["isotonic"](jnp.asarray(point + 1e-7 * directions))).reshape(2000, -1)
    elements = icg.conservative_jacobian(icg.projections.isotonic, jnp.asarray(point))
    vertices = np.asarray(elements.vertices).reshape(len(elements.vertices), -1)
    assert elements.exhaustive
    for jacobian in np.unique(nearby.round(9), axis=0):
        assert np.abs(vertices - jacobian).max(1).min() < 1e-8
    (default,) = np.asarray(jacobians["isotonic"](jnp.asarray(point[None])))
    assert distance(nearby, default.reshape(-1)) < 1e-8
    assert np.linalg.matrix_rank(default) == min(np.linalg.matrix_rank(v.reshape(8, 8)) for v in vertices)


def test_runs_pass_shard_map():
    mesh = Mesh(jax.devices()[:1], ("devices",))
    spec = PartitionSpec("devices")
    slope = jax.vmap(jax.grad(lambda x: jnp.sum(icg.prox.total_variation(x, 0.5) ** 2)))
    mapped = jax.jit(jax.shard_map(slope, mesh=mesh, in_specs=spec, out_specs=spec))
    x = jnp.asarray(LONG["noise"][:40].reshape(4, 10))
    np.testing.assert_allclose(mapped(x), slope(x), atol=1e-14)
