"""The LASSO against its peers: a cold solve, the derivative of a hold-out loss, whole paths, the price of compilation.

    python benchmarks/lasso.py [--small]

All methods run in one process, alternating, to a relative duality gap of 1e-8 or better; CPU time, medians. Data: a
Gaussian design with autoregressive correlation, a response from n/10 features with noise, seed 0. Ratios under 1.5 are
noise. The error of the derivative is measured against the active-set formula in dense linear algebra.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # two BLAS threads stall each other on small machines

import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sklearn
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Lasso, lasso_path
from sklearn.preprocessing import PolynomialFeatures

import implicitcg as icg

jax.config.update("jax_enable_x64", True)


def simulated(n: int, p: int, correlation: float) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    X = random.standard_normal((n, p))
    for j in range(1, p):
        X[:, j] = correlation * X[:, j - 1] + np.sqrt(1 - correlation**2) * X[:, j]
    w = np.zeros(p)
    w[random.choice(p, n // 10, replace=False)] = 1.0
    return X, X @ w + np.sqrt(n / 10) * 0.5 * random.standard_normal(n)


def diabetes(degree: int) -> tuple[np.ndarray, np.ndarray]:
    data = load_diabetes()
    X = PolynomialFeatures(degree, include_bias=False).fit_transform(data.data / data.data.std(axis=0))
    X = X - X.mean(axis=0)
    X = X / X.std(axis=0)
    # sex has two values, so its powers are affine in it: keep one of each family of equal columns
    products = np.abs(X.T @ X) / len(X)
    X = X[:, [j for j in range(X.shape[1]) if not np.any(products[j, :j] > 1 - 1e-9)]]
    return X, data.target - data.target.mean()


def gap(X: np.ndarray, y: np.ndarray, alpha: float, w: np.ndarray) -> float:
    """The duality gap relative to the objective at zero."""
    n = len(y)
    r = y - X @ w
    theta = r / max(1.0, np.abs(X.T @ r).max() / (n * alpha))
    primal = r @ r / (2 * n) + alpha * np.abs(w).sum()
    return (primal - (theta @ y - theta @ theta / 2) / n) / (y @ y / (2 * n))


def peers(X: np.ndarray, y: np.ndarray, alpha: float) -> dict[str, Callable[[], np.ndarray]]:
    F = np.asfortranarray(X)
    rows: dict[str, Callable[[], np.ndarray]] = {}
    try:
        import celer

        rows["celer"] = lambda: celer.Lasso(alpha, fit_intercept=False, tol=1e-8).fit(F, y).coef_
    except ImportError:
        print("celer is not installed: left out")
    rows["scikit-learn"] = lambda: Lasso(alpha, fit_intercept=False, tol=1e-8, max_iter=10**6).fit(F, y).coef_
    return rows


def path_peers(X: np.ndarray, y: np.ndarray, alphas: np.ndarray) -> dict[str, Callable[[], Any]]:
    F = np.asfortranarray(X)
    rows: dict[str, Callable[[], Any]] = {}
    try:
        from celer.homotopy import celer_path

        rows["celer"] = lambda: celer_path(F, y, "lasso", alphas=alphas, tol=1e-8)
    except ImportError:
        pass
    rows["scikit-learn"] = lambda: lasso_path(F, y, alphas=alphas, tol=1e-8, max_iter=10**6)
    return rows


def jaxopt_hold_out(X: Any, y: Any, alpha: float) -> Callable[[], Any] | None:
    """Value and derivative of a hold-out loss by jaxopt's proximal gradient method and its implicit differentiation."""
    try:
        import jaxopt
    except ImportError:
        return None
    n = len(y)
    solver = jaxopt.ProximalGradient(
        lambda w, data: jnp.sum(jnp.square(data[1] - data[0] @ w)) / (2 * n),
        jaxopt.prox.prox_lasso,
        maxiter=20000,
        tol=1e-8,
    )

    def loss(a):
        w = solver.run(jnp.zeros(X.shape[1]), hyperparams_prox=a, data=(X, y)).params
        return jnp.mean(jnp.square(y[:50] - X[:50] @ w))

    program = jax.jit(jax.value_and_grad(loss))
    return lambda: jax.block_until_ready(program(alpha))


def medians(rows: dict[str, Callable[[], Any]], repeats: int = 5) -> dict[str, float]:
    """CPU milliseconds of each row, alternating, after one run that warms up and compiles; slow rows run once."""
    spent: dict[str, list[float]] = {name: [] for name in rows}
    for run in rows.values():
        run()
    for _ in range(repeats):
        for name, run in rows.items():
            if spent[name] and spent[name][0] > 10:
                continue
            begin = time.process_time()
            run()
            spent[name].append(time.process_time() - begin)
    return {name: 1e3 * float(np.median(times)) for name, times in spent.items()}


def exact_slope(X: np.ndarray, alpha: float, w: np.ndarray) -> np.ndarray:
    S = np.flatnonzero(w)
    slope = np.zeros_like(w)
    slope[S] = -alpha * len(X) * np.linalg.solve(X[:, S].T @ X[:, S], np.sign(w[S]))
    return slope


def cases() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {
        "200x5000, correlation .5": simulated(200, 5000, 0.5),
        "200x5000, correlation .9": simulated(200, 5000, 0.9),
        "100x1000, correlation .5": simulated(100, 1000, 0.5),
        "diabetes, quadratic": diabetes(2),
        "diabetes, cubic": diabetes(3),
        "1000x10000, correlation .5": simulated(1000, 10000, 0.5),
        "1000x10000, correlation .9": simulated(1000, 10000, 0.9),
    }


def paths() -> None:
    """100 penalties down to alpha_max / 100, each to a relative gap of 1e-8 or better; scikit-learn once."""
    print("\n100 penalties from alpha_max to alpha_max / 100, CPU ms:\n")
    print("| data | icg.path | celer | scikit-learn | knots | largest gap | slope error |")
    print("|---|---|---|---|---|---|---|")
    for name, (X, y) in list(cases().items())[:5]:
        alphas = np.abs(X.T @ y).max() / len(y) * np.geomspace(1, 0.01, 100)
        arguments = jnp.asarray(X), jnp.asarray(y), jnp.asarray(alphas)
        program = jax.jit(lambda X, y, alphas: icg.path(icg.lasso, X, y, alphas, throw=False))
        found = program(*arguments)
        rows = {"icg": lambda p=program, a=arguments: jax.block_until_ready(p(*a)), **path_peers(X, y, alphas)}
        times = medians(rows, repeats=3)
        worst = max(gap(X, y, a, np.asarray(w)) for a, w in zip(alphas[1:], found.coef[1:], strict=True))
        errors = [
            np.abs(np.asarray(found.slope[i]) * a - exact_slope(X, a, np.asarray(found.coef[i]))).max()
            / np.abs(np.asarray(found.slope[i]) * a).max()
            for i, a in enumerate(alphas)
            if i
        ]
        cells = " | ".join(f"{times[key]:.3g}" if key in times else "-" for key in ("icg", "celer", "scikit-learn"))
        knots = int((found.features != 0).sum())
        print(f"| {name} | {cells} | {knots} | {worst:.1e} | {max(errors):.1e} |", flush=True)


def against_jaxopt() -> None:
    """Value and derivative of a hold-out loss, 200x5000 at alpha_max / 10: one run of jaxopt, warm."""
    X, y = map(jnp.asarray, simulated(200, 5000, 0.5))
    alpha = 0.1 * float(jnp.abs(X.T @ y).max()) / len(y)
    theirs = jaxopt_hold_out(X, y, alpha)
    if theirs is None:
        return
    program = jax.jit(
        jax.value_and_grad(lambda a: jnp.mean(jnp.square(y[:50] - X[:50] @ icg.solve(icg.lasso(X, y, a)).value)))
    )

    def ours() -> Any:
        return jax.block_until_ready(program(alpha))

    times = medians({"icg": ours, "jaxopt": theirs}, repeats=3)
    (_, slope), (_, other) = ours(), theirs()
    print(
        f"\nHold-out value and derivative, 200x5000, alpha_max / 10, CPU ms: icg {times['icg']:.3g}, jaxopt "
        f"ProximalGradient {times['jaxopt']:.3g}, {times['jaxopt'] / times['icg']:.0f} times; its derivative is off by "
        f"{abs(float(other) / float(slope) - 1):.1e}"
    )


def main() -> int:
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()},")
    print(f"jax {jax.__version__}, scikit-learn {sklearn.__version__}; command: python {' '.join(sys.argv)}\n")
    print(
        "| data | alpha | support | icg value | icg value and derivative | celer | scikit-learn | gap | slope error |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    data = dict(list(cases().items())[: 5 if "--small" in sys.argv else None])
    compiled = {}
    for name, (X, y) in data.items():
        device_X, device_y = jnp.asarray(X), jnp.asarray(y)
        # the data are arguments: as constants XLA would spend seconds folding them into the program
        fit = jax.jit(lambda log_alpha, X, y: icg.solve(icg.lasso(X, y, jnp.exp(log_alpha))).value)
        fit_and_slope = jax.jit(lambda t, X, y, fit=fit: jax.jvp(lambda s: fit(s, X, y), (t,), (1.0,)))

        def solve(t, X=device_X, y=device_y, fit=fit):
            return fit(t, X, y)

        def both(t, X=device_X, y=device_y, fit_and_slope=fit_and_slope):
            return fit_and_slope(t, X, y)

        begin = time.perf_counter()
        jax.block_until_ready(solve(0.0))
        compiled[name] = time.perf_counter() - begin
        for part in (0.1, 0.01):
            alpha = part * np.abs(X.T @ y).max() / len(y)
            log_alpha = jnp.log(alpha)
            w, slope = map(np.asarray, both(log_alpha))
            expected = exact_slope(X, alpha, w)
            rows = {
                "value": lambda s=solve, t=log_alpha: jax.block_until_ready(s(t)),
                "both": lambda b=both, t=log_alpha: jax.block_until_ready(b(t)),
                **peers(X, y, alpha),
            }
            times = medians(rows)
            cells = [f"{times[key]:.3g}" if key in times else "-" for key in ("value", "both", "celer", "scikit-learn")]
            error = np.abs(slope - expected).max() / max(np.abs(expected).max(), 1e-300)
            print(
                f"| {name} | alpha_max * {part:g} | {np.count_nonzero(w)} | {' | '.join(cells)} | "
                f"{gap(X, y, alpha, w):.1e} | {error:.1e} |",
                flush=True,
            )
    print("\nFirst call of the value, tracing and compiling included (wall seconds):")
    print("; ".join(f"{name}: {seconds:.2f}" for name, seconds in compiled.items()))
    paths()
    against_jaxopt()
    return 0


if __name__ == "__main__":
    sys.exit(main())
