"""A sparse LASSO against celer: the products, the cold solve, and the derivative where the active set is large.

    python benchmarks/sparse.py

10000x20000 with 1 % filled by Gaussian numbers, a response from 100 features with half as much noise, seed 0; relative
duality gap 1e-8 or better. All rows of a table run in one process, alternating; CPU milliseconds, medians. Products are
compared with SciPy's, which are what celer's inner loops amount to.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import sys
import time

import jax
import numpy as np
import scipy.sparse
from lasso import gap, medians
from lasso import sparse as simulated

import implicitcg as icg

jax.config.update("jax_enable_x64", True)


def show(title: str, times: dict[str, float]) -> None:
    print(f"| {title} | " + " | ".join(f"{name} {value:.3g}" for name, value in times.items()) + " |", flush=True)


def products(X: scipy.sparse.csc_matrix, made) -> None:
    n, p = X.shape
    random = np.random.default_rng(1)
    w, r = random.standard_normal(p), random.standard_normal(n)
    forward, adjoint = jax.jit(lambda X, w: X @ w), jax.jit(lambda X, r: r @ X)
    rows = {"icg": lambda: jax.block_until_ready(forward(made, w)), "SciPy": lambda: X @ w}
    show("X w", medians(rows, 20))
    show("X^T r", medians({"icg": lambda: jax.block_until_ready(adjoint(made, r)), "SciPy": lambda: X.T @ r}, 20))
    for c in (128, 512, 2048):
        index = np.sort(random.choice(p, c, replace=False)).astype(np.int32)
        paired = jax.jit(lambda X, i: X.gram(i, None, False))
        filled = jax.jit(lambda X, i: X.columns(i).T @ X.columns(i))
        rows = {
            "icg": lambda i=index, f=paired: jax.block_until_ready(f(made, i)),
            "dense columns": lambda i=index, f=filled: jax.block_until_ready(f(made, i)),
            "SciPy": lambda i=index: X[:, i].T @ X[:, i],
        }
        show(f"Gram block of {c} columns", medians(rows, 3))


def cold(X: scipy.sparse.csc_matrix, y: np.ndarray, made, part: float) -> None:
    alpha = part * np.abs(X.T @ y).max() / len(y)
    fit = jax.jit(lambda a, X, y: icg.solve(icg.lasso(X, y, a), throw=False))
    begin = time.perf_counter()
    solution = jax.block_until_ready(fit(alpha, made, y))
    first = time.perf_counter() - begin
    rows = {"icg": lambda: jax.block_until_ready(fit(alpha, made, y))}
    try:
        import celer

        rows["celer"] = lambda: celer.Lasso(alpha, fit_intercept=False, tol=1e-8).fit(X, y).coef_
    except ImportError:
        print("celer is not installed: left out")
    w = np.asarray(solution.value)
    title = f"cold solve at alpha_max * {part:g}, support {np.count_nonzero(w)}, gap {gap(X, y, alpha, w):.1e}"
    verdict = "converged" if solution.converged else "NOT CONVERGED"
    show(f"{title}, first call {first:.1f} s, {verdict}", medians(rows, 3))


def large_faces() -> None:
    """Ridge-like elastic nets, so that many features are active; the point comes from scikit-learn, untimed."""
    random = np.random.default_rng(2)
    outside = icg.solvers.external.ScikitLearn(tolerance=1e-7)
    for n, p, ratio in ((2000, 1000, 0.05), (2000, 4000, 0.1), (1000, 10_000, 0.02)):
        X = random.standard_normal((n, p))
        y = X[:, :50].sum(axis=1) + 5 * random.standard_normal(n)
        alpha = 0.5 * np.abs(X.T @ y).max() / n
        root = np.asarray(icg.solve(icg.elastic_net(X, y, alpha, ratio), outside).root)
        face(X, y, alpha, ratio, root)


def face(X: np.ndarray, y: np.ndarray, alpha: float, ratio: float, root: np.ndarray) -> None:
    fixed = icg.solvers.external.HostSolver(lambda problem: root, tolerance=1e-6)
    steps: list[tuple[float, int]] = []
    reporting = icg.adjoints.ConjugateGradient(report=lambda residual, count: steps.append((residual, count)))

    def slope(adjoint):
        def value(a, X, y):
            return icg.solve(icg.elastic_net(X, y, a, ratio), fixed, adjoint=adjoint).value

        return jax.jit(lambda a, X, y: jax.jvp(lambda a: value(a, X, y), (a,), (1.0,))[1])

    programs = {"Cholesky": slope(icg.adjoints.Direct()), "conjugate gradients": slope(reporting)}
    rows = {name: lambda f=f: np.asarray(f(alpha, X, y)) for name, f in programs.items()}
    iterated = rows["conjugate gradients"]()
    try:
        direct = rows["Cholesky"]()
        note = f"difference {np.abs(direct - iterated).max() / np.abs(direct).max():.1e}"
    except Exception:  # the face has no room in any factor
        del rows["Cholesky"]
        note = "no room for a factor"
    residual, count = steps[-1]
    n, p, active = *X.shape, np.count_nonzero(root)
    show(f"derivative, {n}x{p}, {active} active, {count} steps, residual {residual:.0e}, {note}", medians(rows, 3))


def main() -> int:
    print(f"{os.cpu_count()} cores, jax {jax.__version__}; command: python {' '.join(sys.argv)}; CPU milliseconds\n")
    X, y = simulated()
    begin = time.perf_counter()
    made = icg.designs.sparse(X)
    print(f"layout: {time.perf_counter() - begin:.2f} s, {made.data.size / X.nnz:.3f} stored positions per entry\n")
    products(X, made)
    cold(X, y, made, 0.1)
    large_faces()
    cold(X, y, made, 0.01)
    return 0


if __name__ == "__main__":
    sys.exit(main())
