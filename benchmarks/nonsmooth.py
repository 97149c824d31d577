"""What kinks, selections and sets cost: overhead over one gradient, and growth with the number of kinks.

    python benchmarks/nonsmooth.py [--out FILE]

Every program is compiled first; times are the best of several runs, so that a noisy machine shows least. Prints a
table in Markdown with machine, versions and command.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import implicitcg as icg
from implicitcg.nonsmooth import Seed, conservative_jacobian, kinks, with_ties

jax.config.update("jax_enable_x64", True)


def best(function: Callable[[], Any], repeats: int = 15) -> float:
    """The shortest of several runs, in milliseconds, after one that compiles."""
    jax.block_until_ready(function())
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function())
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def first(function: Callable[[], Any]) -> float:
    """One call, tracing and compiling included, in milliseconds."""
    start = time.perf_counter()
    jax.block_until_ready(function())
    return 1e3 * (time.perf_counter() - start)


def network(weights: list, x: Any) -> Any:
    for matrix in weights:
        x = jax.nn.relu(x @ matrix)
    return (x**2).mean()


def loop(_: Any, x: Any) -> Any:
    return jax.lax.scan(lambda c, a: (jnp.abs(c - a) + jnp.maximum(c, a), None), x[0] * 0, x / 10)[0].sum()


def programs() -> dict[str, tuple[Callable, Any, Any]]:
    random = np.random.default_rng(0)
    weights = [jnp.asarray(random.normal(size=(256, 256)) / 16) for _ in range(4)]
    X = jnp.asarray(random.normal(size=(200, 100)))
    y = X[:, :10].sum(1) + jnp.asarray(random.normal(size=200))
    path = lambda y, alpha: (icg.solve(icg.lasso(X, y, alpha)).value ** 2).sum()  # noqa: E731
    return {
        "relu network, 4 x 256, batch 128": (network, weights, jnp.asarray(random.normal(size=(128, 256)))),
        "scan of 500 steps on 100 numbers": (loop, jnp.zeros(()), jnp.asarray(random.normal(size=(500, 100)))),
        "sort and maximum of 10000 numbers": (
            lambda _, x: (jnp.sort(x)[:100] ** 2).sum() + jnp.maximum(x, 0.0).sum(),
            jnp.zeros(()),
            jnp.asarray(random.normal(size=10000)),
        ),
        "lasso, 200 x 100, by icg.solve": (path, y, jnp.asarray(0.05)),
    }


def overhead() -> list[dict[str, Any]]:
    return [{"program": name, **costs(*program)} for name, program in programs().items()]


def costs(function: Callable, data: Any, x: Any) -> dict[str, float]:
    """Run times of a gradient, a report and three selections, and the first calls of the first two."""
    direction = (jax.tree.map(jnp.zeros_like, data), jnp.ones_like(x))
    variants = {
        "gradient": jax.grad(function, argnums=1),
        "kinks": lambda data, x: kinks(function, data, x, tol=1e-9).entries,
        "uniform": jax.grad(with_ties(function, 0.5, tol=1e-9), argnums=1),
        "seed": jax.grad(with_ties(function, Seed(0), tol=1e-9), argnums=1),
        "direction": jax.grad(with_ties(function, direction=direction, tol=1e-9), argnums=1),
    }
    compiled = {name: jax.jit(variant) for name, variant in variants.items()}
    start = {f"first {name} ms": first(lambda c=compiled[name]: c(data, x)) for name in ("gradient", "kinks")}
    return {f"{name} ms": best(lambda c=c: c(data, x)) for name, c in compiled.items()} | start


def growth() -> list[dict[str, Any]]:
    """All vertices of `sum_j |x_j| a_j` through a small dense layer, with `k` of its entries on their kinks."""
    random = np.random.default_rng(0)
    matrix = jnp.asarray(random.normal(size=(16, 16)))
    function = lambda x: (matrix @ jnp.abs(x)) ** 2 @ jnp.ones(16) + jnp.abs(x) @ jnp.arange(1.0, 17.0)  # noqa: E731
    rows = []
    for count in (0, 1, 2, 4, 6, 8, 10, 12, 14):
        x = jnp.asarray(np.where(np.arange(16) < count, 0.0, 1.0 + np.arange(16)))
        conservative_jacobian(function, x, max_elements=2**14)  # compiled kernels of JAX itself are warm
        start = time.perf_counter()
        found = conservative_jacobian(function, x, max_elements=2**14)
        built = time.perf_counter() - start
        start = time.perf_counter()
        found.is_stationary()
        hull = time.perf_counter() - start
        rows.append(
            {
                "kinks": count,
                "combinations": found.choices,
                "distinct": len(found),
                "set ms": 1e3 * built,
                "hull ms": 1e3 * hull,
            }
        )
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    names = list(rows[0])
    show = lambda value: f"{value:.3g}" if isinstance(value, float) else str(value)  # noqa: E731
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    return "\n".join(lines + ["| " + " | ".join(show(row[name]) for name in names) + " |" for row in rows])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--out", help="also write the numbers to this JSON file")
    options = arguments.parse_args()
    where = f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, JAX {jax.__version__}"
    print(f"{where}, float64, `python {' '.join(sys.argv)}`\n")
    result = {"where": where, "overhead": overhead(), "growth": growth()}
    print("Compiled run times, and the first call with its compilation:\n")
    print(table(result["overhead"]), "\n")
    print("Enumeration, compilation included:\n")
    print(table(result["growth"]))
    if options.out:
        with open(options.out, "w") as file:
            json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
