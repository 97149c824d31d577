"""The LASSO against its peers: cold solves with the derivative of a hold-out loss, compilation, paths.

    python benchmarks/lasso.py [--tables solve compile path] [--data PART ...] [--peers NAME ...]

`--data` takes parts of the names of data sets (`cubic`, `1000x10000`), `--peers` the peers wanted. All methods run in
one process, alternating, to a relative duality gap of 1e-8 or better (skglm: a subgradient of 1e-6 alpha); CPU time,
medians; a peer that takes more than 10 s runs once. Dense data: a Gaussian design with autoregressive correlation, a
response from n/10 features with noise, seed 0; sparse data: 1 % filled, 100 features, and paths to alpha_max / 10 only,
since they are followed on at most 4096 features. Ratios are ours over the peer's: below 1 is faster, under 1.5 either
way is noise. The hold-out loss is the squared error of the
first 50 rows, differentiated by log(alpha). Derivatives are compared with the active-set formula in dense linear
algebra, in the largest error over the largest entry.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # two BLAS threads stall each other on small machines

import argparse
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Lasso, lasso_path
from sklearn.preprocessing import PolynomialFeatures

import implicitcg as icg

jax.config.update("jax_enable_x64", True)

Data = tuple[Any, np.ndarray]
NAMED = ["icg", "icg + derivative", "celer", "skglm", "scikit-learn"]


def simulated(n: int, p: int, correlation: float) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    X = random.standard_normal((n, p))
    for j in range(1, p):
        X[:, j] = correlation * X[:, j - 1] + np.sqrt(1 - correlation**2) * X[:, j]
    w = np.zeros(p)
    w[random.choice(p, n // 10, replace=False)] = 1.0
    return X, X @ w + np.sqrt(n / 10) * 0.5 * random.standard_normal(n)


def sparse(n: int = 10_000, p: int = 20_000, filled: float = 0.01) -> tuple[scipy.sparse.csc_matrix, np.ndarray]:
    random = np.random.default_rng(0)
    X = scipy.sparse.random(n, p, filled, format="csc", random_state=random, data_rvs=random.standard_normal)
    w = np.zeros(p)
    w[random.choice(p, n // 100, replace=False)] = 1.0
    signal = X @ w
    return X, signal + 0.5 * signal.std() * random.standard_normal(n)


def diabetes(degree: int) -> tuple[np.ndarray, np.ndarray]:
    data = load_diabetes()
    X = PolynomialFeatures(degree, include_bias=False).fit_transform(data.data / data.data.std(axis=0))
    X = X - X.mean(axis=0)
    X = X / X.std(axis=0)
    # sex has two values, so its powers are affine in it: keep one of each family of equal columns
    products = np.abs(X.T @ X) / len(X)
    X = X[:, [j for j in range(X.shape[1]) if not np.any(products[j, :j] > 1 - 1e-9)]]
    return X, data.target - data.target.mean()


def gap(X: Any, y: np.ndarray, alpha: float, w: np.ndarray) -> float:
    """The duality gap relative to the objective at zero."""
    n = len(y)
    r = y - X @ w
    theta = r / max(1.0, np.abs(X.T @ r).max() / (n * alpha))
    primal = r @ r / (2 * n) + alpha * np.abs(w).sum()
    return (primal - (theta @ y - theta @ theta / 2) / n) / (y @ y / (2 * n))


DATA: dict[str, Callable[[], Data]] = {
    "100x1000, correlation .5": lambda: simulated(100, 1000, 0.5),
    "200x5000, correlation .5": lambda: simulated(200, 5000, 0.5),
    "200x5000, correlation .9": lambda: simulated(200, 5000, 0.9),
    "diabetes, quadratic": lambda: diabetes(2),
    "diabetes, cubic": lambda: diabetes(3),
    "1000x10000, correlation .5": lambda: simulated(1000, 10000, 0.5),
    "1000x10000, correlation .9": lambda: simulated(1000, 10000, 0.9),
    "sparse 10000x20000": sparse,
}


def packed(X: Any) -> Any:
    """As the peers like it: columns one after the other."""
    return X if scipy.sparse.issparse(X) else np.asfortranarray(X)


def peers(X: Any, y: np.ndarray, alpha: float, wanted: list[str]) -> dict[str, Callable[[], np.ndarray]]:
    F = packed(X)
    rows: dict[str, Callable[[], np.ndarray]] = {}
    if "celer" in wanted:
        import celer

        rows["celer"] = lambda: celer.Lasso(alpha, fit_intercept=False, tol=1e-8).fit(F, y).coef_
    if "skglm" in wanted:
        import skglm

        rows["skglm"] = lambda: skglm.Lasso(alpha, fit_intercept=False, tol=1e-6 * alpha).fit(F, y).coef_
    if "scikit-learn" in wanted:
        rows["scikit-learn"] = lambda: Lasso(alpha, fit_intercept=False, tol=1e-8, max_iter=10**6).fit(F, y).coef_
    return rows


def path_peers(X: Any, y: np.ndarray, alphas: np.ndarray, wanted: list[str]) -> dict[str, Callable[[], Any]]:
    F = packed(X)
    rows: dict[str, Callable[[], Any]] = {}
    if "celer" in wanted:
        from celer.homotopy import celer_path

        rows["celer"] = lambda: celer_path(F, y, "lasso", alphas=alphas, tol=1e-8)
    if "scikit-learn" in wanted:
        rows["scikit-learn"] = lambda: lasso_path(F, y, alphas=alphas, tol=1e-8, max_iter=10**6)
    return rows


def medians(rows: dict[str, Callable[[], Any]], repeats: int = 5) -> dict[str, float]:
    """CPU milliseconds of each row, alternating, after one run that warms up and compiles; slow rows run once."""
    spent: dict[str, list[float]] = {name: [] for name in rows}
    for turn in range(repeats + 1):
        for name, run in rows.items():
            if spent[name] and spent[name][0] > 10:
                continue
            begin = time.process_time()
            run()
            used = time.process_time() - begin
            if turn or (used > 10 and not name.startswith("icg")):
                spent[name].append(used)
    return {name: 1e3 * float(np.median(times)) for name, times in spent.items()}


def exact_slope(X: Any, alpha: float, w: np.ndarray) -> np.ndarray:
    """The derivative of the coefficients by log(alpha), by the formula on their support."""
    S = np.flatnonzero(w)
    slope = np.zeros_like(w)
    gram = X[:, S].T @ X[:, S]
    gram = gram.toarray() if scipy.sparse.issparse(gram) else gram
    slope[S] = -alpha * X.shape[0] * np.linalg.solve(gram, np.sign(w[S]))
    return slope


def error(found: Any, exact: Any) -> float:
    return float(np.abs(np.asarray(found) - exact).max() / max(np.abs(exact).max(), 1e-300))


def on_device(X: Any, y: np.ndarray) -> tuple[Any, Any]:
    return icg.designs.sparse(X) if scipy.sparse.issparse(X) else jnp.asarray(X), jnp.asarray(y)


def hold_out(t: Any, X: Any, y: Any, rows: Any) -> tuple[Any, Any]:
    """The loss on `rows = (X_val, y_val)`, and the coefficients."""
    w = icg.solve(icg.lasso(X, y, jnp.exp(t))).value
    return jnp.mean(jnp.square(rows[1] - rows[0] @ w)), w


def strongest(X: Any, y: np.ndarray) -> float:
    return float(np.abs(X.T @ y).max() / len(y))


def ratio(times: dict[str, float], one: str, other: str) -> str:
    return f"{times[one] / times[other]:.2f}" if one in times and other in times else "-"


def cells(times: dict[str, float], names: list[str]) -> str:
    return " | ".join(f"{times[name]:.3g}" if name in times else "-" for name in names)


def heading(title: str, columns: str) -> None:
    print(f"\n{title}:\n\n| {columns} |\n|" + "---|" * (columns.count("|") + 1))


def solves(name: str, X: Any, y: np.ndarray, wanted: list[str]) -> None:
    first = X[:50].toarray() if scipy.sparse.issparse(X) else X[:50]
    at = *on_device(X, y), (jnp.asarray(first), jnp.asarray(y[:50]))
    value, both = jax.jit(hold_out), jax.jit(jax.value_and_grad(hold_out, has_aux=True))
    slope = jax.jit(lambda t, X, y, rows: jax.jvp(lambda t: hold_out(t, X, y, rows)[1], (t,), (1.0,))[1])

    def row(part: float) -> None:
        alpha = part * strongest(X, y)
        t = jnp.log(alpha)
        (_, w), derivative = both(t, *at)
        w = np.asarray(w)
        exact = exact_slope(X, alpha, w)
        exact_loss = -2 * np.mean((y[:50] - X[:50] @ w) * (X[:50] @ exact))
        kept: dict[str, np.ndarray] = {}

        def keeping(peer: str, run: Callable[[], np.ndarray]) -> Callable[[], None]:
            return lambda: kept.update({peer: run()})

        rows = {
            "icg": lambda: jax.block_until_ready(value(t, *at)),
            "icg + derivative": lambda: jax.block_until_ready(both(t, *at)),
            **{peer: keeping(peer, run) for peer, run in peers(X, y, alpha, wanted).items()},
        }
        times = medians(rows)
        added = times["icg + derivative"] / times["icg"] - 1
        gaps = ", ".join(f"{gap(X, y, alpha, v):.0e}" for v in (w, *kept.values()))
        print(
            f"| {name}, {part:g} | {np.count_nonzero(w)} | {cells(times, NAMED)} | {ratio(times, 'icg', 'celer')} | "
            f"{added:+.0%} | {gaps} | {error(slope(t, *at), exact):.0e}, {error(derivative, exact_loss):.0e} |",
            flush=True,
        )

    row(0.1)
    row(0.01)


def compilation(name: str, X: Any, y: np.ndarray) -> None:
    """The first solve of a data set, part by part, and how many programs five more penalties compile."""
    X, y = on_device(X, y)
    fit = jax.jit(lambda alpha, X, y: icg.solve(icg.lasso(X, y, alpha)).value)
    marks = [time.process_time()]
    stage: Any = fit
    for step in (lambda fit: fit.trace(0.1, X, y), lambda traced: traced.lower(), lambda lowered: lowered.compile()):
        stage = step(stage)
        marks.append(time.process_time())
    largest = float(jnp.max(jnp.abs(y @ X))) / len(y)
    for part in (0.9, 0.5, 0.2, 0.1, 0.05):
        jax.block_until_ready(fit(part * largest, X, y))
    spent = " | ".join(f"{s:.2f}" for s in (*np.diff(marks), marks[-1] - marks[0]))
    print(f"| {name} | {spent} | {fit._cache_size()} |", flush=True)


def paths(name: str, X: Any, y: np.ndarray, wanted: list[str]) -> None:
    """100 penalties, each to a relative gap of 1e-8 or better."""
    alphas = strongest(X, y) * np.geomspace(1, 0.1 if scipy.sparse.issparse(X) else 0.01, 100)
    arguments = *on_device(X, y), jnp.asarray(alphas)
    program = jax.jit(lambda X, y, alphas: icg.path(icg.lasso, X, y, alphas, throw=False))
    found = program(*arguments)
    rows = {"icg": lambda: jax.block_until_ready(program(*arguments)), **path_peers(X, y, alphas, wanted)}
    times = medians(rows, repeats=3)
    coefs, slopes = np.asarray(found.coef), np.asarray(found.slope)
    worst = max(gap(X, y, a, w) for a, w in zip(alphas[1:], coefs[1:], strict=True))
    some = range(1, 100, 1 if X.shape[0] < 1000 else 14)
    errors = [error(slopes[i] * alphas[i], exact_slope(X, alphas[i], coefs[i])) for i in some]
    speed = f"{ratio(times, 'celer', 'icg')} | {ratio(times, 'scikit-learn', 'icg')}"
    knots = int((found.features != 0).sum())
    print(
        f"| {name} | {cells(times, ['icg', 'celer', 'scikit-learn'])} | {speed} | {knots} | {worst:.0e} | "
        f"{max(errors):.0e} |",
        flush=True,
    )


def installed(names: list[str]) -> list[str]:
    found = []
    for name in names:
        try:
            print(f"{name} {version(name)}", end="; ")
            found.append(name)
        except PackageNotFoundError:
            print(f"{name} is not installed: skipped", end="; ")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tables", nargs="*", default=["solve", "compile", "path"])
    parser.add_argument("--data", nargs="*", default=[""], help="parts of names of data sets")
    parser.add_argument("--peers", nargs="*", default=["celer", "skglm", "scikit-learn"])
    chosen = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; ")
    wanted = installed(["jax", *chosen.peers])
    print(f"command: python {' '.join(sys.argv)}")
    data = [(name, make) for name, make in DATA.items() if any(part in name for part in chosen.data)]
    if "compile" in chosen.tables:  # first, while nothing is compiled
        jax.config.update("jax_enable_compilation_cache", False)
        heading(
            "The first solve, CPU seconds, and programs that it and five more penalties compile",
            "data | trace | lower | compile | all | programs",
        )
        for name, make in data:
            compilation(name, *make())
    if "solve" in chosen.tables:
        heading(
            "A cold solve, and the derivative of a hold-out loss; CPU ms",
            f"data, alpha / alpha_max | support | {' | '.join(NAMED)} | icg / celer | derivative adds | gap, peers' | "
            "error of slope, of the loss's",
        )
        for name, make in data:
            solves(name, *make(), wanted)
    if "path" in chosen.tables:
        heading(
            "100 penalties from alpha_max to alpha_max / 100 (sparse: / 10), CPU ms",
            "data | icg.path | celer | scikit-learn | celer / icg | scikit-learn / icg | knots | gap | slope error",
        )
        for name, make in data:
            paths(name, *make(), wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
