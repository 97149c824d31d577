"""The package as a user gets it: installed from a wheel, with the newest releases of what it needs, in seconds.

    python .ci/smoke.py        (away from the checkout, so that the installed copy is what is imported)

One LASSO against the formula for its derivative, forwards and backwards, its certificate, and a small tuning run; of
the other kinds of problem one each, in both modes, against differences. Everything is compiled as users compile it,
where the tests and the examples of CI compile cheaply.
"""

import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

import implicitcg as icg

jax.config.update("jax_enable_x64", True)

# A design with X^T X / n = [[1, .5], [.5, 1]] and X^T y / n = (2, 1.75): at alpha = 1 both coefficients are active.
n = 2
X = np.sqrt(n) * np.linalg.cholesky(np.array([[1.0, 0.5], [0.5, 1.0]])).T
y = np.linalg.solve(X.T, n * np.array([2.0, 1.75]))


def weights(alpha):
    return icg.solve(icg.lasso(X, y, alpha)).value


def check(what: str, got, want, tolerance: float = 1e-9) -> None:
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance, err_msg=what)
    print(f"ok: {what}")


random = np.random.default_rng(1)
D, r = random.standard_normal((30, 6)), random.standard_normal(30)
labels, M = np.sign(D[:, 0] + 0.5 * r), 0.3 * random.standard_normal((5, 5))
PROBLEMS = {
    "group lasso": (lambda t: icg.group_lasso(D, r, t, [0, 0, 1, 1, 2, 2]), 0.05),
    "sparse logistic regression": (lambda t: icg.sparse_logistic(D, labels, t, fit_intercept=True), 0.05),
    "support vector regression": (lambda t: icg.svr(D, r, t, 0.1), 0.02),
    "total variation": (
        lambda t: icg.composite(icg.penalties.LeastSquares(D, r), icg.penalties.TotalVariation(t)),
        0.01,
    ),
    "quadratic program": (lambda t: icg.qp(np.eye(6), -D[0], np.ones((1, 6)), t[None], -np.eye(6), np.zeros(6)), 1.2),
    "root": (lambda t: icg.root(lambda z, t: z**3 + z - t, t), 2.0),
    "layer of rectifiers": (lambda t: icg.fixed_point(lambda z, t: jax.nn.relu(M @ z + t * D[0, :5]), t), 1.0),
    "second-order cone": (
        lambda t: icg.fixed_point(lambda z, t: icg.projections.second_order_cone(z - 0.2 * (z - t * D[1])), t),
        1.0,
    ),
}
STARTS = {"root": 1.0, "layer of rectifiers": jnp.ones(5), "second-order cone": jnp.ones(6)}


def check_problem(name: str) -> None:
    """The derivative of a solution by one number, in both modes."""
    problem, at = PROBLEMS[name]

    @jax.jit
    def both(t):
        value, push = jax.linearize(
            lambda t: ravel_pytree(icg.solve(problem(t), init=STARTS.get(name)).value)[0], jnp.asarray(t)
        )
        v = jnp.cos(jnp.arange(value.size))
        return value, push(jnp.ones(())), v, jax.linear_transpose(push, jnp.asarray(t))(v)[0]

    h = 1e-5  # solutions are right to about 1e-12: a difference is to 1e-7
    _, pushed, v, pulled = both(at)
    check(f"{name}, forwards", pushed, (both(at + h)[0] - both(at - h)[0]) / (2 * h), 1e-6)
    check(f"{name}, backwards", pulled, v @ pushed)
    assert np.abs(pushed).max() > 1e-3  # the number does move the solution


def main() -> None:
    begin = time.perf_counter()
    print(f"Python {sys.version.split()[0]}, jax {jax.__version__}, implicitcg from {icg.__file__}")

    check("the solution at alpha = 1", weights(1.0), [1.5 - 2 / 3, 1 - 2 / 3])
    check("its derivative, forwards", jax.jacfwd(weights)(1.0), [-2 / 3, -2 / 3])
    check("its derivative, backwards", jax.jacrev(weights)(1.0), [-2 / 3, -2 / 3])
    check("one weight a feature", jax.jit(jax.jacobian(weights))(jnp.ones(2)), [[-4 / 3, 2 / 3], [2 / 3, -4 / 3]])

    problem = icg.lasso(X, y, 1.0)
    certificate = icg.certify(problem, icg.solve(problem))
    assert certificate.verdict == "certified", certificate
    twins = icg.lasso(np.column_stack([X[:, 0], X[:, 0]]), y, 1.0)
    assert icg.certify(twins, icg.solve(twins)).verdict == "singular"
    print("ok: certified where it may be, singular where two columns are one")

    rng = np.random.default_rng(0)
    A, truth = rng.standard_normal((60, 8)), np.array([2.0, -1.5, 1.0, 0, 0, 0, 0, 0])
    b = A @ truth + rng.standard_normal(60)
    criterion = icg.tuning.HoldOut(lambda t: icg.lasso(A[:40], b[:40], jnp.exp(t)), A[40:], b[40:])
    start = jnp.log(0.5)
    result = icg.tune(criterion, start, progress=False)
    grid = min(float(criterion(t)) for t in np.linspace(np.log(1e-3), np.log(1.0), 60))
    assert float(result.value) <= grid * (1 + 1e-9), (result.value, grid)
    print(f"ok: tuned to {float(result.value):.6f}; the best of a grid of 60 is {grid:.6f}")
    for name in PROBLEMS:
        check_problem(name)
    print(f"smoke test passed in {time.perf_counter() - begin:.1f} s")


if __name__ == "__main__":
    main()
