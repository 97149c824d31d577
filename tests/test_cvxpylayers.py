"""The same calls, side by side with cvxpylayers where it is installed (`pip install cvxpylayers[jax] diffcp`)."""

import cvxpy as cp
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import implicitcg as icg

theirs = pytest.importorskip("cvxpylayers.jax")
rng = np.random.default_rng(0)
X, y, w = cp.Parameter((6, 4)), cp.Parameter(6), cp.Variable(4)
least_squares = cp.Problem(cp.Minimize(cp.sum_squares(X @ w - y)), [w >= 0])
A, b = jnp.asarray(rng.standard_normal((6, 4))), jnp.asarray(rng.standard_normal(6))
mean, root = cp.Parameter(4), cp.Parameter((4, 4))
limits = [cp.sum(w) == 1, w >= 0, cp.norm(root @ w) <= 1]
portfolio = cp.Problem(cp.Maximize(mean @ w - cp.norm(w - 0.1)), limits)
CALLS = {
    "one value of each parameter": (least_squares, [X, y], [w], [A, b]),
    "the parameters in another order": (least_squares, [y, X], [w], [b, A]),
    "a batch of one parameter": (least_squares, [X, y], [w], [jnp.stack([A, 2 * A]), b]),
    "a batch of all": (least_squares, [X, y], [w], [jnp.stack([A, 2 * A]), jnp.stack([b, -b])]),
    "a multiplier": (portfolio, [mean, root], [w, limits[0].dual_variables[0]], [b[:4], 1.3 * jnp.eye(4) + 0.1]),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_of_cvxpylayers_has_the_same_shapes_and_values_and_gradients_here(name):
    problem, parameters, variables, values = CALLS[name]

    def weighed(layer):
        def loss(*values):
            found = layer(*values, solver_args={}, warm_start=False)
            weights = [jnp.cos(jnp.arange(1.0, f.size + 1)).reshape(f.shape) for f in found]
            return sum(jnp.sum(weight * f) for weight, f in zip(weights, found, strict=True)), found

        return jax.grad(loss, argnums=tuple(range(len(values))), has_aux=True)(*values)

    slopes, found = weighed(icg.CvxpyLayer(problem, parameters, variables))
    their_slopes, their_found = weighed(theirs.CvxpyLayer(problem, parameters, variables))
    assert isinstance(found, tuple)
    for ours, other in zip((*found, *slopes), (*their_found, *their_slopes), strict=True):
        assert ours.shape == other.shape
        # diffcp solves to 1e-5 or so, and its gradients are off by up to 1e-3
        np.testing.assert_allclose(ours, other, atol=3e-3 * (1 + np.abs(other).max()))
