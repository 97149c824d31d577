"""The package as a user gets it: installed from a wheel, with the newest releases of what it needs, in seconds.

    python .ci/smoke.py        (away from the checkout, so that the installed copy is what is imported)

One LASSO against the formula for its derivative, forwards and backwards, its certificate, and a small tuning run.
"""

import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

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
    print(f"smoke test passed in {time.perf_counter() - begin:.1f} s")


if __name__ == "__main__":
    main()
