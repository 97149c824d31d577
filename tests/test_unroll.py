"""Derivatives of iterates: sets at kinks, bounds that hold, and momentum refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import implicitcg as icg


def absolute(z, t):
    return jnp.abs(z) / 2 + t


def heavy_ball(state, t, alpha=1.0, beta=0.75):
    """On `f(x) = x^2/2` for `x >= 0`, `x^2/8` below, shifted by t."""
    x, y = state
    u = x - t
    slope = icg.nonsmooth.maximum(u, u / 4)
    return x - alpha * slope + beta * (x - y), x


def test_unrolled_derivatives_at_the_kink_span_more_than_the_implicit_ones():
    unrolled = icg.conservative_jacobian(lambda t: icg.unroll.iterate(absolute, 0.0, t, steps=12), 0.0)
    vertices = np.asarray(unrolled.vertices)
    # from z_0 = t = 0 every step sits on the kink: with 11 choices the range is [0, 2] up to 2^-11
    assert vertices.min() >= 0 and vertices.max() <= 2
    assert vertices.max() == pytest.approx(2.0, abs=2**-10)
    implicit = icg.conservative_jacobian(lambda t: icg.solve(icg.fixed_point(absolute, t)).value, 0.0)
    np.testing.assert_allclose(np.sort(implicit.vertices), [2 / 3, 2.0], atol=1e-12)
    assert unrolled.contains(2 / 3, 1e-9) and unrolled.contains(2 - 2**-10, 1e-9)


def test_unrolled_truncated_and_one_step_derivatives_stay_within_their_bounds():
    rng = np.random.default_rng(0)
    W = rng.standard_normal((5, 5))
    W = jnp.asarray(0.8 * W / np.linalg.norm(W, 2))

    def layer(z, b):
        return jax.nn.relu(W @ z + b)

    b = jnp.asarray(rng.standard_normal(5))
    truth = jax.jacobian(lambda b: icg.solve(icg.fixed_point(layer, b)).value)(b)
    errors = []
    for last in (1, 3, 10, None):
        found = icg.unroll.derivative(layer, jnp.zeros(5), b, steps=300, last=last, lipschitz=0.0)
        errors.append(np.linalg.norm(found.jacobian - truth, 2))
        assert errors[-1] <= found.bias + found.drift + 1e-12
        assert found.distance < 1e-10 and found.contraction.verdict == "certified"
    assert errors[0] > 10 * errors[2] > 1e3 * errors[3]
    # the whole sum differs from the implicit derivative by rounding only
    assert errors[-1] < 1e-12


def test_forward_and_reverse_mode_of_iterates_agree_on_pytrees_under_jit_and_vmap():
    def step(z, args):
        return {"a": 0.5 * jnp.sin(z["b"]) + args["s"], "b": 0.3 * z["a"] * args["s"]}

    def loss(s, last):
        z = icg.unroll.iterate(step, {"a": 0.0, "b": 0.0}, {"s": s}, steps=20, last=last)
        return z["a"] + 2 * z["b"]

    points = jnp.linspace(-1.0, 1.0, 3)
    for last in (None, 2):
        forward = jax.jit(jax.vmap(jax.jacfwd(lambda s, k=last: loss(s, k))))(points)
        reverse = jax.jit(jax.vmap(jax.grad(lambda s, k=last: loss(s, k))))(points)
        np.testing.assert_allclose(forward, reverse, rtol=1e-12)
    differences = (loss(points[0] + 1e-6, None) - loss(points[0] - 1e-6, None)) / 2e-6
    # central differences of step 1e-6: truncation 1e-12, rounding 1e-10
    np.testing.assert_allclose(jax.grad(lambda s: loss(s, None))(points[0]), differences, atol=1e-9)


def test_the_drift_bound_covers_an_iterate_that_is_far_from_the_limit():
    def newtonish(z, t):
        return jnp.cos(z) / 2 + t

    for steps in (2, 4, 8):
        found = icg.unroll.derivative(newtonish, 3.0, 0.3, steps=steps, last=1, lipschitz=0.5)
        truth = jax.grad(lambda t: icg.solve(icg.fixed_point(newtonish, t), init=1.0).value)(0.3)
        assert abs(float(found.jacobian - truth)) <= found.bias + found.drift


def test_heavy_ball_is_certified_off_its_kink_and_refused_on_it():
    smooth = icg.unroll.contraction(heavy_ball, (1.3, 1.3), 0.3)
    assert smooth.verdict == "certified" and smooth.norm == "quadratic" and smooth.rate < 1
    kink = icg.unroll.contraction(heavy_ball, (0.3, 0.3), 0.3)
    assert kink.verdict == "refused" and kink.elements == 2
    # (1, 1, 1/4, 1/4) grows by 1.02988 a step; longer products by a little more
    assert kink.rate >= 1.0298
    with pytest.raises(ValueError, match="momentum"):
        icg.unroll.derivative(heavy_ball, (0.3, 0.3), 0.3, steps=50)


def test_the_derivative_of_heavy_ball_diverges_along_a_cycle_of_selections():
    M = {h: np.array([[1 - h + 0.75, -0.75], [1.0, 0.0]]) for h in (1.0, 0.25)}
    N = {h: np.array([h, 0.0]) for h in (1.0, 0.25)}
    D, sizes = np.zeros(2), []
    for k in range(2000):
        h = (1.0, 1.0, 0.25, 0.25)[k % 4]
        D = M[h] @ D + N[h]
        sizes.append(np.linalg.norm(D))
    assert sizes[-1] > 1e20  # 1.0298^2000 is 3e25, while the iterate rests at the minimum


def test_without_momentum_the_same_function_is_certified():
    def gradient_step(x, t):
        return x - icg.nonsmooth.maximum(x - t, (x - t) / 4)

    verdict = icg.unroll.contraction(gradient_step, 0.3, 0.3)
    assert verdict.verdict == "certified" and verdict.rate == pytest.approx(0.75) and verdict.elements == 2


def test_an_expanding_map_and_numbers_of_steps_out_of_range_are_refused():
    with pytest.raises(ValueError, match="its element grows"):
        icg.unroll.derivative(lambda z, t: 2 * z + t, 0.0, 0.0, steps=3)
    with pytest.raises(ValueError, match="from 0 to steps=3"):
        icg.unroll.iterate(absolute, 0.0, 1.0, steps=3, last=4)


def test_kinks_met_on_the_way_and_those_within_the_error_of_the_iterate_enter_the_verdict():
    # 0.5 away from zero on one side, 1.5 on the other; the limit t = 1 is smooth, the start is on the kink
    def bent(z, t):
        return t + jnp.where(z >= 0, (z - t) / 2, -t / 2 + 1.5 * z)

    assert icg.unroll.contraction(bent, 1.0, 1.0).verdict == "certified"
    whole = icg.unroll.derivative(bent, 0.0, 1.0, steps=30)
    assert whole.contraction.verdict == "unknown" and whole.met == 1 and whole.bias == np.inf
    later = icg.unroll.derivative(bent, 0.0, 1.0, steps=30, last=20)  # the kink is met before the last twenty
    assert later.contraction.verdict == "certified" and later.met == 0

    # z_k is 2^-20 from its limit, which is on the kink: one element at z_k, two within its error
    found = icg.unroll.derivative(absolute, 1.0, 0.0, steps=20)
    assert found.contraction.elements == 2 and found.contraction.verdict == "certified" and found.met == 0
    assert icg.unroll.derivative(absolute, 0.0, 0.0, steps=20).met == 20


def test_bad_calls_are_told_what_to_do_instead():
    with pytest.raises(TypeError, match="called inside a JAX transformation"):
        jax.jit(lambda t: icg.unroll.derivative(absolute, 0.0, t, steps=3).jacobian)(1.0)
    with pytest.raises(ValueError, match="zero or more"):
        icg.unroll.iterate(absolute, 0.0, 1.0, steps=-1)
    with pytest.raises(ValueError, match="keep the structure"):
        icg.unroll.iterate(lambda z, t: jnp.stack([z, z]), 0.0, 1.0, steps=2)
    assert float(icg.unroll.iterate(absolute, 0, 1.0, steps=2)) == 1.5
