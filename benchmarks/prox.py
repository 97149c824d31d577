"""Proximal maps, isotonic regression and soft ranks against their peers, and what long signals cost.

    python benchmarks/prox.py [--sizes 10 1000 100000] [--batches 1 128]

Both sides in one process, float32, called in turn on the same numbers; CPU time in milliseconds, medians. Backward is
one vector-Jacobian product, the forward pass included. The second table has the sequential algorithms on signals of up
to 10^6 entries, float64, in wall time; the third where jaxopt's derivative is not in Clarke's Jacobian.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # two BLAS threads stall each other on small machines

import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import jaxopt.prox as theirs
import numpy as np
from jaxopt._src import isotonic as jaxopt_isotonic
from sklearn.isotonic import isotonic_regression

import implicitcg as icg

# numba refuses the read-only buffers that JAX hands to a callback: without a copy jaxopt's map raises here
_pool = jaxopt_isotonic._isotonic_l2_pav_numba
jaxopt_isotonic._isotonic_l2_pav_numba = lambda y: _pool(np.array(y))
isotonic_l2_pav = jaxopt_isotonic.isotonic_l2_pav
QUADRATIC = {"isotonic": 1000}  # jaxopt's derivative makes an n by n matrix

LARGEST, ALONE = 2e7, 1e6  # entries in all, with a peer and without one

# name: (ours, jaxopt's), each a function of one vector; None where jaxopt has no such map
MAPS: dict[str, tuple[Callable, Callable | None]] = {
    "l1": (lambda x: icg.prox.l1(x, 0.5), lambda x: theirs.prox_lasso(x, 0.5)),
    "nonnegative l1": (
        lambda x: icg.prox.nonnegative_l1(x, 0.5),
        lambda x: theirs.prox_non_negative_lasso(x, 0.5),
    ),
    "elastic net": (
        lambda x: icg.prox.elastic_net(x, 1.0, 0.5),
        lambda x: theirs.prox_elastic_net(x, (0.5, 1.0)),
    ),
    "l2": (lambda x: icg.prox.l2(x, 1.0), lambda x: theirs.prox_group_lasso(x, 1.0)),
    "isotonic": (icg.projections.isotonic, isotonic_l2_pav),
    "linf": (lambda x: icg.prox.linf(x, 1.0), None),
    "huber": (lambda x: icg.prox.huber(x, 1.0), None),
    "sorted l1": (lambda x: icg.prox.sorted_l1(x, jnp.linspace(1.0, 0.1, x.shape[-1], dtype=x.dtype)), None),
    "total variation": (lambda x: icg.prox.total_variation(x, 1.0), None),
    "soft rank": (lambda x: icg.sorting.soft_rank(x, 0.1), None),
}


def medians(functions: list[Callable], *arguments: Any, budget: float = 1.0) -> list[float]:
    """CPU milliseconds of each function, each as often first in its turn as last, after two calls that warm up."""
    spent: list[list[float]] = [[] for _ in functions]
    for function in functions * 2:
        jax.block_until_ready(function(*arguments))
    start = time.perf_counter()
    while len(spent[0]) < 6 or (time.perf_counter() - start < budget and len(spent[0]) < 100):
        pairs = list(zip(functions, spent, strict=True))
        for function, times in pairs[:: (-1) ** len(spent[0])]:
            begin = time.process_time()
            jax.block_until_ready(function(*arguments))
            times.append(time.process_time() - begin)
    return [1e3 * float(np.median(times)) for times in spent]


def speed(sizes: list[int], batches: list[int]) -> None:
    print("| map | n | batch | forward ms | jaxopt | ratio | backward ms | jaxopt | ratio |\n|" + "---|" * 9)
    for name, pair in MAPS.items():
        functions = [jax.vmap(f) for f in pair if f is not None]
        for n in sizes:
            for batch in batches:
                if n * batch > (LARGEST if len(functions) > 1 else ALONE):
                    continue
                x, v = (jnp.asarray(np.random.default_rng(s).standard_normal((batch, n)), jnp.float32) for s in (0, 1))
                forward = medians([jax.jit(f) for f in functions], x)
                both = functions if n <= QUADRATIC.get(name, n) else functions[:1]
                backward = medians([jax.jit(lambda x, v, f=f: jax.vjp(f, x)[1](v)[0]) for f in both], x, v)
                print(f"| {name} | {n} | {batch} | {cells(forward)} | {cells(backward)} |", flush=True)


def cells(times: list[float]) -> str:
    """Ours, theirs, and how many times longer theirs takes."""
    if len(times) == 1:
        return f"{times[0]:.3g} | - | -"
    return f"{times[0]:.3g} | {times[1]:.3g} | {times[1] / times[0]:.1f}"


def long_signals() -> None:
    print("\n| map | signal | n | forward s | backward s | scikit-learn s |\n|" + "---|" * 6)
    isotonic, variation = icg.projections.isotonic, lambda x: icg.prox.total_variation(x, 1.0)
    for name, function in (("isotonic", isotonic), ("total variation", variation)):
        forward, backward = jax.jit(function), jax.jit(lambda x, f=function: jax.vjp(f, x)[1](x)[0])
        for n in (10**4, 10**5, 10**6):
            random = np.random.default_rng(0)
            signals = {
                "noise": random.standard_normal(n),
                "walk": np.cumsum(random.standard_normal(n)),
                "decreasing": -np.arange(float(n)),
            }
            for kind, signal in signals.items():
                times = [wall(f, jnp.asarray(signal, jnp.float64)) for f in (forward, backward)]
                peer = f"{wall(isotonic_regression, signal):.2g}" if name == "isotonic" else "-"
                print(f"| {name} | {kind} | {n} | {times[0]:.2g} | {times[1]:.2g} | {peer} |", flush=True)


def wall(function: Callable, x: Any) -> float:
    """The best of three, in seconds."""
    best = np.inf
    for _ in range(4):
        begin = time.perf_counter()
        jax.block_until_ready(function(x))
        best = min(best, time.perf_counter() - begin)
    return best


def faults() -> None:
    """What jaxopt's derivatives are at points where the right answer is known, next to ours."""
    zero, one = jnp.zeros(2), jnp.arange(3.0)
    near = jnp.asarray([1.0, 1.0 + 1e-9, 2.0], jnp.float64)
    lasso, group, pool = theirs.prox_lasso, theirs.prox_group_lasso, isotonic_l2_pav
    l1, l2, isotonic = icg.prox.l1, icg.prox.l2, icg.projections.isotonic
    cases: list[tuple[str, str, Callable, Callable]] = [
        ("l1 with t = 0 at 0", "identity", lambda: jax.jacrev(lasso)(zero, 0.0), lambda: jax.jacrev(l1)(zero, 0.0)),
        ("l2 at 0", "0", lambda: jax.jacrev(group)(zero, 1.0), lambda: jax.jacrev(l2)(zero, 1.0)),
        (
            "isotonic, entries 1e-9 apart",
            "identity",
            lambda: jax.jacrev(pool)(near),
            lambda: jax.jacrev(isotonic)(near),
        ),
        ("isotonic at (3, 2, 1)", "1/3", lambda: jax.jacfwd(pool)(3 - one), lambda: jax.jacfwd(isotonic)(3 - one)),
    ]
    print("\n| derivative of | right | jaxopt | ours |\n|---|---|---|---|")
    for what, right, jaxopt, ours in cases:
        print(f"| {what} | {right} | {shown(jaxopt)} | {shown(ours)} |", flush=True)


def shown(call: Callable) -> str:
    try:
        value = np.round(np.asarray(call(), float), 4) + 0.0
    except Exception as error:
        return f"raises {type(error).__name__}"
    return np.array2string(value, separator=", ").replace("\n", "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="*", type=int, default=[10, 1000, 100000])
    parser.add_argument("--batches", nargs="*", type=int, default=[1, 128])
    options = parser.parse_args()
    versions = {name: version(name) for name in ("jax", "jaxlib", "jaxopt", "numpy", "scikit-learn")}
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}")
    print(f"command: python {' '.join(sys.argv)}\n")
    speed(options.sizes, options.batches)
    jax.config.update("jax_enable_x64", True)
    long_signals()
    faults()
    return 0


if __name__ == "__main__":
    sys.exit(main())
