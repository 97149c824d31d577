"""What a derivative of a ReLU program costs beside the program, and what its whole set costs.

    python benchmarks/complexity.py [--small] [--plot FILE]

The first table is the time of `conservative_jacobian` at a point with `k` kinks: `2^k` elements up to `max_elements`, a
sample of that size beyond. The second is the time of value and gradient relative to that of the value, for networks of
growing width and depth on 128 samples: of JAX's own selection, and of another one (`with_ties`). The theory bounds the
operations by a constant, whatever width and depth: their ratio, as XLA counts them, is the last column. Medians of CPU
time; sides alternate in one process.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from implicitcg.nonsmooth import conservative_jacobians, with_ties

BATCH = 128
LIMIT = 4096  # the default of `max_elements`


def medians(sides: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """CPU milliseconds of each side, warm, one after the other in turn; many calls where one is too short to time."""
    calls = {}
    for name, side in sides.items():
        jax.block_until_ready(side())
        start = time.perf_counter()
        jax.block_until_ready(side())
        calls[name] = max(1, int(0.005 / (time.perf_counter() - start)))
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(repeats):
        for name in list(sides) if turn % 2 else reversed(list(sides)):
            start = time.process_time()
            for _ in range(calls[name]):
                jax.block_until_ready(sides[name]())
            times[name].append(1e3 * (time.process_time() - start) / calls[name])
    return {name: statistics.median(values) for name, values in times.items()}


def network(width: int, depth: int) -> tuple[Callable[..., Any], list[jax.Array], jax.Array]:
    """A network with `depth` square layers, its weights and a batch."""
    random = np.random.default_rng(0)
    weights = [jnp.asarray(random.standard_normal((width, width)) * (2 / width) ** 0.5) for _ in range(depth)]

    def loss(weights: list[jax.Array], x: jax.Array) -> jax.Array:
        for W in weights:
            x = jax.nn.relu(x @ W)
        return jnp.sum(x)

    return loss, weights, jnp.asarray(random.standard_normal((BATCH, width)))


def backward(shapes: list[tuple[int, int]], repeats: int) -> list[tuple[int, int, float, float, float, float]]:
    """Width, depth, forward milliseconds, the two ratios of times, and that of operations."""
    rows = []
    for width, depth in shapes:
        loss, weights, x = network(width, depth)
        sides = {
            "forward": jax.jit(loss),
            "gradient": jax.jit(jax.value_and_grad(loss, argnums=(0, 1))),
            "another": jax.jit(jax.value_and_grad(with_ties(loss, 0.5), argnums=(0, 1))),
        }
        found = medians({k: (lambda f=f, w=weights, x=x: f(w, x)) for k, f in sides.items()}, repeats)
        forward = found["forward"]
        counted = [f.lower(weights, x).compile().cost_analysis()["flops"] for f in sides.values()]
        ratios = found["gradient"] / forward, found["another"] / forward, counted[1] / counted[0]
        rows.append((width, depth, forward, *ratios))
        print("| {} | {} | {:.3g} | {:.2f} | {:.2f} | {:.2f} |".format(*rows[-1]), flush=True)
    return rows


def sets(counts: list[int], repeats: int) -> list[tuple[int, int, bool, float]]:
    """Kinks, elements found, whether exhaustive, milliseconds warm."""
    rows = []
    for k in counts:
        W = jnp.asarray(np.random.default_rng(0).standard_normal((k, 4)))
        c = jnp.asarray(np.random.default_rng(1).standard_normal(k))
        elements = conservative_jacobians(lambda x, W=W, c=c: c @ jax.nn.relu(W @ x), max_elements=LIMIT)
        x = jnp.zeros(4)
        found = elements(x)
        spent = medians({"set": lambda e=elements, x=x: e(x).vertices}, repeats)["set"]
        rows.append((k, len(found.vertices), found.exhaustive, spent))
        print("| {} | {} | {} | {:.3g} |".format(*rows[-1]), flush=True)
    return rows


def draw(file: str, layers: list, many: list) -> None:
    """The two tables as one picture."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    for depth in sorted({row[1] for row in layers}):
        mine = [row for row in layers if row[1] == depth]
        left.plot([row[0] for row in mine], [row[3] for row in mine], "o-", label=f"depth {depth}")
    left.set(xlabel="width", ylabel="gradient / forward, CPU time", xscale="log", ylim=(0, None))
    left.legend(frameon=False, fontsize=7)
    right.loglog([2.0 ** row[0] for row in many], [row[3] for row in many], "o-", color="#0072B2", base=2)
    right.axvline(LIMIT, color="#D55E00", ls="--", label="max_elements")
    right.set(xlabel="2^k, for k kinks", ylabel="ms for the set")
    right.legend(frameon=False)
    figure.savefig(file, metadata={"Date": None} if file.endswith("svg") else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a few small sizes, to see that it runs")
    parser.add_argument("--plot", metavar="FILE", help="also draw both tables")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    versions = ", ".join(f"{name} {version(name)}" for name in ("jax", "jaxlib", "numpy"))
    print(f"`python benchmarks/complexity.py {' '.join(sys.argv[1:])}`".replace(" `", "`"))
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}; float64\n")
    widths, depths = ((32, 64), (2, 4)) if options.small else ((64, 128, 256, 512), (2, 8, 32))
    print("| kinks | elements | exhaustive | ms |\n|" + "---|" * 4)
    many = sets([2, 4, 6] if options.small else [2, 4, 6, 8, 10, 11, 12, 13, 16, 20], 3)
    print("\n| width | depth | forward ms | gradient / forward | with_ties / forward | operations |\n|" + "---|" * 6)
    layers = backward([(w, d) for d in depths for w in widths], 3 if options.small else 7)
    if options.plot:
        draw(options.plot, layers, many)


if __name__ == "__main__":
    main()
