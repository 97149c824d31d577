"""The library's own pieces: finite, inside Clarke's set, with the tie that was asked for, and conservative."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import implicitcg.nonsmooth as ns
from implicitcg.nonsmooth import check_conservative, conservative_jacobian

ones, zeros = jnp.ones, jnp.zeros
# function of (x, tie), point, {tie: derivative}
RULES = {
    "relu": (ns.relu, 0.0, {0.0: 0.0, 0.25: 0.25, 1.0: 1.0}),
    "positive_part": (ns.positive_part, 0.0, {0.0: 0.0, 1.0: 1.0}),
    "leaky_relu": (lambda x, tie: ns.leaky_relu(x, 0.1, tie), 0.0, {None: 0.1, 0.5: 0.5, 1.0: 1.0}),
    "abs": (ns.abs, 0.0, {0.0: 0.0, -1.0: -1.0, 0.5: 0.5}),
    "maximum": (lambda x, tie: ns.maximum(x, 0.0, tie), 0.0, {0.5: 0.5, 1.0: 1.0}),
    "minimum": (lambda x, tie: ns.minimum(x, 0.0, tie), 0.0, {0.5: 0.5, 1.0: 1.0}),
    "clip below": (lambda x, tie: ns.clip(x, 0.0, 1.0, tie), 0.0, {0.0: 0.0, 1.0: 1.0}),
    "clip above": (lambda x, tie: ns.clip(x, 0.0, 1.0, tie), 1.0, {0.0: 0.0, 1.0: 1.0}),
    "where_positive": (lambda x, tie: ns.where_positive(x, 3 * x, x, tie), 0.0, {0.0: 1.0, 0.5: 2.0}),
    "max": (lambda x, tie: ns.max(x, tie=tie), ones(3), {None: [1 / 3] * 3, 1.0: [1, 0, 0], 0.25: [0.25, 0, 0.75]}),
    "sort": (
        lambda x, tie: ns.sort(x, tie=tie),
        ones(2),
        {1.0: [[1, 0], [0, 1]], 0.0: [[0, 1], [1, 0]], 0.5: [[0.5, 0.5], [0.5, 0.5]]},
    ),
    "median": (lambda x, tie: ns.median(x, tie=tie), ones(3), {1.0: [0, 1, 0], 0.0: [0, 1, 0]}),
    "norm": (lambda x, tie: ns.norm(x, tie=tie), zeros(2), {0.0: [0, 0], 0.5: [0.5, 0.5]}),
    "hypot": (lambda x, tie: ns.hypot(x, x, tie), 0.0, {0.0: 0.0, 0.5: 1.0}),
}


@pytest.mark.parametrize("case", RULES)
def test_the_tie_asked_for_is_the_derivative(case):
    function, x, rules = RULES[case]
    for tie, expected in rules.items():
        tied = functools.partial(function, tie=tie)
        for derivative in (jax.jacfwd(tied), jax.jacrev(tied), jax.jit(jax.jacfwd(tied))):
            assert np.allclose(derivative(x), expected, atol=1e-15)


@pytest.mark.parametrize("case", RULES)
def test_every_piece_passes_the_checker_and_lies_in_its_own_set(case):
    function, x, rules = RULES[case]
    tie = next(iter(rules))
    piece = lambda x: function(x, tie)  # noqa: E731
    assert check_conservative(piece, jax.jacfwd(piece), x, curves=2, steps=500)
    assert conservative_jacobian(piece, x).kinks > 0
    # the hull of the poles of a ball is only a part of it, but holds its centre
    assert conservative_jacobian(piece, x).contains(jax.jacfwd(piece)(x))


@pytest.mark.parametrize(
    "call",
    [
        lambda: ns.relu(0.0, 1.1),
        lambda: ns.abs(0.0, -1.1),
        lambda: ns.leaky_relu(0.0, 0.1, 0.0),
        lambda: ns.maximum(0.0, 0.0, 2.0),
        lambda: ns.max(jnp.ones(2), tie=-1.0),
        lambda: ns.sort(jnp.ones(2), tie=2.0),
        lambda: ns.norm(jnp.ones(2), tie=0.9),
        lambda: ns.psd_part(jnp.eye(2), tie=3.0),
    ],
)
def test_ties_outside_the_convex_range_are_refused(call):
    with pytest.raises(ValueError, match=r"kink must lie|at most 1"):
        call()


def test_a_traced_tie_outside_the_range_is_refused_when_it_runs(fails_with):
    assert jax.jit(jax.grad(ns.relu))(0.0, 0.5) == 0.5
    fails_with("must lie in", jax.jit(jax.grad(ns.relu)), 0.0, 2.0)


def test_the_tie_multiplies_the_upstream_gradient():
    assert jax.grad(lambda x: 7 * ns.relu(x, tie=0.5) * 2)(0.0) == 7.0


def test_values_are_those_of_jax():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 5)))
    pairs = [
        (ns.relu(x), jax.nn.relu(x)),
        (ns.leaky_relu(x), jax.nn.leaky_relu(x)),
        (ns.abs(x), jnp.abs(x)),
        (ns.clip(x, -0.5, 0.5), jnp.clip(x, -0.5, 0.5)),
        (ns.max(x, 1), x.max(1)),
        (ns.max(x), x.max()),
        (ns.sort(x, 0), jnp.sort(x, 0)),
        (ns.median(x, 0), jnp.median(x, 0)),
        (ns.median(x), jnp.median(x)),
        (ns.norm(x, 1), jnp.linalg.norm(x, axis=1)),
        (ns.hypot(x, x), jnp.hypot(x, x)),
        (ns.minimum(x, -x), jnp.minimum(x, -x)),
    ]
    for mine, theirs in pairs:
        assert np.allclose(mine, theirs, rtol=1e-15)
    assert ns.relu(1) == 1.0 and ns.relu(jnp.ones(2, jnp.float32)).dtype == jnp.float32


def test_norms_neither_overflow_nor_underflow():
    for size in (1e-200, 1e200):
        x = size * jnp.array([3.0, 4.0])
        assert np.allclose(ns.norm(x) / size, 5.0)
        assert np.allclose(jax.grad(ns.norm)(x), [0.6, 0.8])
    assert ns.norm(jnp.array([jnp.inf, 1.0])) == jnp.inf


def test_second_derivatives_are_those_of_the_smooth_pieces():
    x = jnp.array([3.0, 4.0])
    assert np.allclose(jax.hessian(ns.norm)(x), jax.hessian(jnp.linalg.norm)(x))
    assert np.isfinite(jax.hessian(ns.norm)(jnp.zeros(2))).all()
    assert (jax.hessian(lambda x: ns.relu(x).sum())(jnp.zeros(2)) == 0).all()


# eigenvalues 2 and -3: numbers of the theory
S = jnp.array([[1.0, 2.0], [2.0, -2.0]])


def test_the_psd_part_has_the_derivative_of_the_theory():
    value, derivative = jax.jvp(ns.psd_part, (S,), (jnp.array([[1.0, 0.0], [0.0, 0.0]]),))
    assert np.allclose(value, [[1.6, 0.8], [0.8, 0.4]])
    assert np.allclose(derivative, [[0.768, 0.224], [0.224, 0.032]])


def test_spectral_functions_are_finite_at_repeated_eigenvalues():
    H = jnp.array([[1.0, 2.0], [2.0, -1.0]])
    assert np.allclose(jax.jvp(ns.psd_part, (jnp.eye(2),), (H,))[1], H)
    assert np.allclose(jax.jvp(ns.psd_part, (-jnp.eye(2),), (H,))[1], 0)
    assert np.allclose(jax.jvp(ns.psd_part, (jnp.zeros((2, 2)),), (H,))[1], 0)
    assert np.allclose(jax.jvp(lambda S: ns.psd_part(S, tie=1.0), (jnp.zeros((2, 2)),), (H,))[1], H)
    expm = lambda S: ns.spectral(jnp.exp, S)  # noqa: E731
    for gap in (0.0, 1e-14, 1e-9, 1e-6, 1e-3):
        # the derivative of exp at I + gap e1 e1^T is e H to first order in the gap
        point = jnp.eye(2) + gap * jnp.array([[1.0, 0.0], [0.0, 0.0]])
        assert np.allclose(jax.jvp(expm, (point,), (H,))[1], np.e * H, atol=5 * gap + 1e-9)
    assert np.isfinite(jax.jacrev(expm)(jnp.eye(3))).all()


def test_second_derivatives_at_repeated_eigenvalues_equal_differences():
    random = np.random.default_rng(0)
    Q = np.linalg.qr(random.standard_normal((3, 3)))[0]
    E, W = (jnp.asarray(random.standard_normal((3, 3))) for _ in range(2))
    E, step = E + E.T, 1e-5  # differences of a smooth gradient: step^2 times third derivatives, eps / step
    for function in (ns.psd_part, lambda S: ns.spectral(jnp.exp, S)):
        gradient = jax.jit(jax.grad(lambda S, f=function: jnp.sum(f(S) ** 2 * W)))
        second = jax.jit(lambda S, g=gradient: jax.jvp(g, (S,), (E,))[1])
        for values in ([1.0, 1.0, 1.0], [2.0, 2.0, -1.0], [1.0, -1.0, -1.0], [1.0, 1.0 + 1e-9, -2.0]):
            for point in (np.diag(values), Q * values @ Q.T):
                point = jnp.asarray((point + point.T) / 2)
                numeric = (gradient(point + step * E) - gradient(point - step * E)) / (2 * step)
                assert np.max(np.abs(second(point) - numeric)) < 1e-6 * (1 + np.max(np.abs(numeric)))
        for point in (jnp.zeros((3, 3)), jnp.diag(jnp.asarray([1.0, 0.0, 0.0]))):
            assert np.isfinite(second(point)).all()
    # the third one is not known there, and says so
    assert np.isnan(jax.jacfwd(lambda t: second(jnp.eye(3) + t * E))(0.0)).any()


def test_a_matrix_square_root_agrees_with_differences():
    point, H = S @ S + jnp.eye(2), jnp.array([[1.0, 0.5], [0.5, 0.0]])
    root = lambda S: ns.spectral(jnp.sqrt, S)  # noqa: E731
    step = 1e-6  # central differences: error step^2 + eps / step
    numeric = (root(point + step * H) - root(point - step * H)) / (2 * step)
    assert np.allclose(jax.jvp(root, (point,), (H,))[1], numeric, atol=1e-8)
    batch = jnp.stack([point, jnp.eye(2)])
    assert np.allclose(root(batch)[1], jnp.eye(2))


def test_spectral_pieces_pass_the_checker():
    part = lambda x: ns.psd_part(x.reshape(2, 2))  # noqa: E731
    for point in (jnp.zeros(4), jnp.eye(2).reshape(-1)):
        assert check_conservative(part, jax.jacfwd(part), point, curves=2, steps=500)


SPURIOUS = {
    "the wrong branch": (jnp.abs, lambda x: jnp.where(x < 0, 1.0, jnp.sign(x)), 0.0),
    "a flat band": (jnp.abs, lambda x: jnp.where(jnp.abs(x) < 0.05, 0.0, jnp.sign(x)), 0.0),
    "a partial derivative of a ridge": (
        lambda x: -jnp.abs(x[0] - x[1]) + x[0] ** 2 / 10,
        lambda x: jnp.array([-1 + x[0] / 5, 0.0]),
        jnp.zeros(2),
    ),
    "a rule that replaces the upstream gradient": (
        lambda x: 3 * jnp.maximum(x, 0.0),
        lambda x: jnp.where(x > 0, 1.0, 0.0),
        0.0,
    ),
    "not a number": (lambda x: x, lambda x: jnp.where(x > 0, jnp.nan, 1.0), 0.0),
}


@pytest.mark.parametrize("case", SPURIOUS)
def test_a_planted_spurious_field_is_caught(case):
    function, field, x = SPURIOUS[case]
    check = check_conservative(function, field, x, curves=2, steps=500)
    assert not check
    assert "Not conservative" in str(check) or "not finite" in str(check)


def test_any_value_at_a_single_point_is_conservative():
    # enlarging a field at one point keeps it conservative: curves cross the point in no time
    field = lambda x: jnp.where(x == 0, 17.0, jnp.sign(x))  # noqa: E731
    assert check_conservative(jnp.abs, field, 0.0, curves=2, steps=500)


def test_the_flat_side_of_a_relu_is_zero_without_a_sign():
    values = ns.relu(jnp.asarray([-1.0, -0.0, -jnp.inf, 2.0, jnp.nan]))
    assert np.array_equal(values, [0.0, 0.0, 0.0, 2.0, np.nan], equal_nan=True)
    assert not np.signbit(values[:4]).any()
