"""Where a condition of the theory fails: what happens, to its published numbers, and what the library says.

The pictures are in the examples of these names, listed in `docs/pathologies.md`. Heavy ball is in test_unroll.py, the
naive partial derivative that goes to 5 in test_optim.py.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import implicitcg as icg
from implicitcg.nonsmooth import with_ties


def padded_square(x):
    """`(x - 1)^2`, and two times nothing."""
    return (x - 1) ** 2 + 2 * (jax.nn.relu(-x) - jax.nn.relu(x) + x)


@pytest.mark.parametrize(("step", "end"), [(0.25, 0.0), (0.3, 1.0)], ids=["met", "missed"])
def test_a_spurious_critical_point_is_met_with_step_a_quarter_and_missed_with_three_tenths(step, end):
    x = jnp.asarray(-1.0)
    for _ in range(40):
        x = x - step * jax.grad(padded_square)(x)
    # 0.4^40 is 1e-16; the quarter lands on zero exactly
    assert float(x) == pytest.approx(end, abs=1e-12)
    assert float(jax.grad(with_ties(padded_square, direction=1.0))(0.0)) == -2.0


G = jnp.concatenate([jnp.eye(2), -jnp.eye(2)])
H = jnp.asarray([3.0, 5.0, 0.0, 0.0])


def best_corner(u):
    return icg.qp(jnp.zeros((2, 2)), -jnp.ones(2) * (-3 * u[0] + u[1] + 2), G=G, h=H)


def test_gradient_descent_through_a_linear_program_falls_in_the_published_cycle():
    def loss(u):
        s = icg.solve(best_corner(u)).value
        return (u[0] - s[0]) ** 2 + 4 * (u[1] - s[1]) ** 2

    def advance(u, _):
        new = u - 0.01 * jax.grad(loss)(u)
        return new, new

    path = jax.jit(lambda u: jax.lax.scan(advance, u, None, length=1600)[1])(jnp.zeros(2))[1000:]
    # published to four digits
    np.testing.assert_allclose(path.min(0), [0.6668, 0.0283], atol=5e-5)
    np.testing.assert_allclose(path.max(0), [2.3332, 4.9717], atol=5e-5)


def test_the_layer_of_the_cycle_is_refused_with_the_reason():
    near = jnp.asarray([1.0, 1.01])  # a hundredth from the line -3x + y + 2 = 0
    solution = icg.solve(best_corner(near), throw=False)
    assert icg.certify(best_corner(near), solution).verdict == "certified"
    refused = icg.certify(best_corner(near), solution, tol=0.1)
    assert refused.verdict == "singular" and "not unique" in refused.reason
    on = icg.solve(best_corner(jnp.asarray([1.0, 1.0])), throw=False)
    assert bool(on.status == icg.Status.not_unique)
    assert "not unique" in icg.certify(best_corner(jnp.asarray([1.0, 1.0])), on).reason


def test_a_singular_inner_problem_is_refused_and_its_pseudo_inverse_leads_along_lorenz(fails_with):
    def lorenz(s):
        return jnp.stack([10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - 8 / 3 * s[2]])

    def inner(x):
        return icg.root(lambda s, x: jax.nn.relu(s - x) - jax.nn.relu(x - s), x)

    def total(x, adjoint=None):
        s = icg.solve(inner(x), adjoint=adjoint).value
        return 20 * s @ s - x @ lorenz(s)

    x = jnp.asarray([1.0, 2.0, 20.0])
    np.testing.assert_allclose(jax.grad(total)(x, icg.adjoints.MinimumNorm()), -lorenz(x), atol=1e-12)
    fails_with("The derivative was refused", jax.grad(total), x)
    certificate = icg.certify(inner(x), icg.solve(inner(x)))
    assert certificate.verdict == "singular" and certificate.min_singular_value == 0
    # the loss at s = x is a convex quadratic: the cubic terms cancel
    hessian = jax.hessian(lambda x: 20 * x @ x - x @ lorenz(x))
    np.testing.assert_allclose(hessian(x), hessian(-2 * x), atol=1e-10)
    assert np.linalg.eigvalsh(hessian(x)).min() > 11


def test_gradients_depend_on_the_convention_in_short_formats_and_not_in_long_ones():
    random = np.random.default_rng(0)
    W, x = random.standard_normal((64, 256)) / 8, random.uniform(size=(128, 64))

    def differ(dtype):
        def loss(z):
            return jnp.sum(jax.nn.relu(z))

        z = jnp.asarray(x, dtype) @ jnp.asarray(W, dtype)
        z = z - jnp.round(z * 8) / 8  # near zero, where exact cancellation is a matter of digits
        low, high = (jax.grad(with_ties(loss, tie))(z) for tie in (0.0, 1.0))
        return float((low != high).mean())

    shares = [differ(dtype) for dtype in (jnp.bfloat16, jnp.float16, jnp.float32, jnp.float64)]
    assert shares[0] > shares[1] > shares[2] >= shares[3] == 0
