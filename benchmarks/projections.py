"""Projections and proximal maps against jaxopt's: time forward and backward, and where jaxopt's are wrong.

    python benchmarks/projections.py [--maps NAME ...] [--sizes 10 1000 100000] [--batches 1 128] [--out FILE]

Both sides are compiled in one process, float32, called in turn on the same numbers (so that a busy machine slows both);
times are medians of CPU time in milliseconds. Backward is one vector-Jacobian product, the forward pass included. Add a
map by a row in MAPS.
"""

from __future__ import annotations

import argparse
import json
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
import jaxopt.projection as theirs
import numpy as np

import implicitcg as icg

P = icg.projections
LARGEST = 2e7  # entries in all: beyond it the machine is measured and not the code
LIMITS = {"affine set": 10, "polyhedron": 10}  # sizes up to which dense quadratic programs are compared


def ones(x: Any) -> Any:
    return jnp.ones(x.shape[-1], x.dtype)


def rows(x: Any) -> tuple[Any, Any]:
    """Three equations in all entries."""
    A = jnp.asarray(np.random.default_rng(2).standard_normal((3, x.shape[-1])), x.dtype)
    return A, 0.1 * jnp.ones(3, x.dtype)


# name: (ours, jaxopt's), each a function of one vector
MAPS: dict[str, tuple[Callable, Callable]] = {
    "simplex": (P.simplex, theirs.projection_simplex),
    "l1 ball": (P.l1_ball, theirs.projection_l1_ball),
    "l2 ball": (P.l2_ball, theirs.projection_l2_ball),
    "box": (lambda x: P.box(x, -0.5, 0.5), lambda x: theirs.projection_box(x, (-0.5, 0.5))),
    "nonnegative": (P.nonnegative, theirs.projection_non_negative),
    "hyperplane": (
        lambda x: P.hyperplane(x, ones(x), 0.3),
        lambda x: theirs.projection_hyperplane(x, (ones(x), 0.3)),
    ),
    "halfspace": (
        lambda x: P.halfspace(x, ones(x), 0.3),
        lambda x: theirs.projection_halfspace(x, (ones(x), 0.3)),
    ),
    "affine set": (lambda x: P.affine_set(x, *rows(x)), lambda x: theirs.projection_affine_set(x, rows(x))),
    "polyhedron": (
        lambda x: P.polyhedron(x, *rows(x), jnp.eye(x.shape[-1], dtype=x.dtype), ones(x)),
        lambda x: theirs.projection_polyhedron(
            x, (*rows(x), jnp.eye(x.shape[-1], dtype=x.dtype), ones(x)), check_feasible=False
        ),
    ),
    "box section": (
        lambda x: P.box_section(x, 0.0, 1.0, 1.0, 0.3 * x.shape[-1]),
        lambda x: theirs.projection_box_section(
            x, (jnp.zeros_like(x), ones(x), ones(x), 0.3 * x.shape[-1]), check_feasible=False
        ),
    ),
}
MATRICES: dict[str, tuple[Callable, Callable]] = {  # functions of an (n, n) matrix
    "birkhoff": (P.birkhoff, theirs.projection_birkhoff),
}


def measured(functions: list[Callable], *arguments: Any, budget: float = 0.6) -> list[float]:
    """Median CPU milliseconds of each function, in turn, each as often first as last: the first one pays more."""
    for function in functions * 2:
        jax.block_until_ready(function(*arguments))
    times: list[list[float]] = [[] for _ in functions]
    start = time.perf_counter()
    while len(times[0]) < 6 or (time.perf_counter() - start < budget and len(times[0]) < 200):
        pairs = list(zip(functions, times, strict=True))
        for function, spent in pairs[:: (-1) ** len(times[0])]:
            begin = time.process_time()
            jax.block_until_ready(function(*arguments))
            spent.append(time.process_time() - begin)
    return [1e3 * float(np.median(spent)) for spent in times]


def speed(maps: dict, sizes: list[int], batches: list[int], matrix: bool = False) -> list[dict[str, Any]]:
    rows = []
    for name, pair in maps.items():
        for n in sizes:
            for batch in batches:
                if n * batch > LARGEST or n > LIMITS.get(name, n):
                    continue
                shape = (batch, n, n) if matrix else (batch, n)
                x, v = (jnp.asarray(np.random.default_rng(s).standard_normal(shape), jnp.float32) for s in (0, 1))
                batched = [jax.vmap(f) for f in pair]
                backward = [jax.jit(lambda x, v, f=f: jax.vjp(f, x)[1](v)[0]) for f in batched]
                forward = measured([jax.jit(f) for f in batched], x)
                both = measured(backward, x, v)
                row = {"map": name, "n": n, "batch": batch, "forward": forward, "backward": both}
                rows.append(row)
                print(line(row), flush=True)
    return rows


def line(row: dict[str, Any]) -> str:
    cells = [f"{ours:.3g} | {other:.3g} | {other / ours:.1f}" for ours, other in (row["forward"], row["backward"])]
    return f"| {row['map']} | {row['n']} | {row['batch']} | {' | '.join(cells)} |"


def faults() -> list[str]:
    """What jaxopt's maps return at points where the right answer is known, next to ours."""
    eye, one, far = jnp.eye(3), jnp.ones(3), 1e8 + jnp.arange(9.0)
    vertex = jnp.asarray([5.0, 4.0, -3.0])

    def section(c: Any, x: Any = vertex) -> Any:
        return theirs.projection_box_section(x, (0 * one, one, one, c), check_feasible=False)

    def transported(function: Callable) -> Callable:
        return lambda t: function((0.1 * eye).at[0, 0].set(t))

    cases: list[tuple[str, str, Callable, Callable]] = [
        ("simplex, radius 0", "0", lambda: theirs.projection_simplex(one, 0.0), lambda: P.simplex(one, 0.0)),
        ("l1 ball, radius 0", "0", lambda: theirs.projection_l1_ball(one, 0.0), lambda: P.l1_ball(one, 0.0)),
        (
            "the sum of simplex(1e8 + (0, ..., 8)), float32",
            "1",
            lambda: theirs.projection_simplex(far).sum(),
            lambda: P.simplex(far).sum(),
        ),
        (
            "l2 ball, reverse mode at 0",
            "the identity",
            lambda: jax.jacrev(theirs.projection_l2_ball)(0 * one),
            lambda: jax.jacrev(P.l2_ball)(0 * one),
        ),
        (
            "box section (5, 4, -3), total 1",
            "(1, 0, 0)",
            lambda: section(1.0),
            lambda: P.box_section(vertex, 0.0, 1.0, 1.0, 1.0),
        ),
        ("box section, total 0", "0", lambda: section(0.0, one), lambda: P.box_section(one, 0.0, 1.0, 1.0, 0.0)),
        (
            "box section (5, 4, -3), derivative in the total at 2",
            "(0, 1, 0) to (0, 0, 1)",
            lambda: jax.jacrev(section)(2.0),
            lambda: jax.jacrev(lambda c: P.box_section(vertex, 0.0, 1.0, 1.0, c))(2.0),
        ),
        (
            "birkhoff at I / 10, derivative in the first entry",
            "first row (4, -2, -2) / 9",
            lambda: jax.jacrev(transported(theirs.projection_birkhoff))(0.1)[0],
            lambda: jax.jacrev(transported(P.birkhoff))(0.1)[0],
        ),
        (
            "affine set, forward mode",
            "diag(0, 1, 1)",
            lambda: jax.jacfwd(lambda x: theirs.projection_affine_set(x, (eye[:1], one[:1])))(one),
            lambda: jax.jacfwd(lambda x: P.affine_set(x, eye[:1], one[:1]))(one),
        ),
    ]
    rows = []
    for what, right, jaxopt, ours in cases:
        rows.append(f"| {what} | {right} | {shown(jaxopt)} | {shown(ours)} |")
        print(rows[-1], flush=True)
    return rows


def shown(call: Callable) -> str:
    try:
        value = np.round(np.asarray(call(), float), 4) + 0.0
    except Exception as error:
        return f"raises {type(error).__name__}"
    return np.array2string(value, separator=", ").replace("\n", "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--maps", nargs="*", default=[*MAPS, *MATRICES])
    parser.add_argument("--sizes", nargs="*", type=int, default=[10, 1000, 100000])
    parser.add_argument("--batches", nargs="*", type=int, default=[1, 128])
    parser.add_argument("--out")
    options = parser.parse_args()
    versions = {name: version(name) for name in ("jax", "jaxlib", "jaxopt", "numpy")}
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}")
    print(f"command: python {' '.join(sys.argv)}\n")
    print("| map | n | batch | forward ms | jaxopt | ratio | backward ms | jaxopt | ratio |\n|" + "---|" * 9)
    rows = speed({k: v for k, v in MAPS.items() if k in options.maps}, options.sizes, options.batches)
    sizes = [n for n in (10, 30) if options.sizes]
    rows += speed({k: v for k, v in MATRICES.items() if k in options.maps}, sizes, options.batches, matrix=True)
    print("\n| at | right | jaxopt | ours |\n|---|---|---|---|")
    wrong = faults()
    if options.out:
        with open(options.out, "w") as file:
            json.dump({"versions": versions, "rows": rows, "faults": wrong}, file, indent=1)


if __name__ == "__main__":
    main()
