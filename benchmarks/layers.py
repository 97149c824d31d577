"""CVXPY layers: `icg.CvxpyLayer` beside cvxpylayers with diffcp and with Moreau, and the bare Clarabel.

    python benchmarks/layers.py [--eager] [PART OF A NAME ...]

The models of benchmarks/conic.py with parameters. All methods run in one process, alternating; CPU time, medians. The
loss is a linear function of the variables; backward is its gradient in all parameters, the time of value and gradient
less that of the value. Ours and Moreau's run under `jit`, which cvxpylayers with diffcp cannot; with
`--eager` none does.
The error of a gradient is measured along a random direction against central differences of our polished solutions.
"""

from __future__ import annotations

import itertools
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # two BLAS threads stall each other on small machines

import platform
import sys
import warnings
from collections.abc import Callable
from typing import Any

import cvxpy as cp
import jax
import jax.numpy as jnp
import numpy as np
from conic import MODELS, Model, Program, bare, medians

import implicitcg as icg

jax.config.update("jax_enable_x64", True)
warnings.filterwarnings("ignore", message="Converting")  # of diffcp, to its own form of sparse matrices


def losses(layer: Any, model: Model, compiled: bool) -> tuple[Callable[[], Any], Callable[[], Any], Any]:
    """Forward, forward and backward, and the gradient; in eager mode or compiled."""
    calls = itertools.count()

    def theta() -> tuple[Any, ...]:  # other numbers at every call: what was factorised before does not serve again
        scale = 1 + 1e-9 * next(calls)
        return tuple(parameter.value * scale for parameter in model.parameters)

    def loss(*theta: Any) -> Any:
        return sum(jnp.sum(jnp.cos(1.0 + jnp.arange(v.size).reshape(v.shape)) * v) for v in layer(*theta))

    value, both = loss, jax.value_and_grad(loss, argnums=tuple(range(len(model.parameters))))
    if compiled:
        value, both = jax.jit(value), jax.jit(both)
    return lambda: jax.block_until_ready(value(*theta())), lambda: jax.block_until_ready(both(*theta())), value


def layers(model: Model, eager: bool) -> dict[str, tuple[Any, bool]]:
    """The layers that are installed, and whether each is compiled."""
    found: dict[str, tuple[Any, bool]] = {"icg": (icg.CvxpyLayer(*model), not eager)}
    try:
        from cvxpylayers.jax import CvxpyLayer
    except ImportError:
        print("cvxpylayers is not installed: skipped", file=sys.stderr)
        return found
    found["diffcp"] = CvxpyLayer(*model), False
    try:
        found["moreau"] = CvxpyLayer(*model, solver="MOREAU"), not eager
    except Exception as error:
        print(f"cvxpylayers with Moreau: {str(error)[:100]}: skipped", file=sys.stderr)
    return found


def directional(gradient: Any, direction: Any) -> float:
    return float(sum(jnp.vdot(g, d) for g, d in zip(gradient, direction, strict=True)))


def directions(model: Model) -> list[np.ndarray]:
    """A random change of each parameter, as it declares."""
    random = np.random.default_rng(7)
    found = [random.standard_normal(parameter.shape) for parameter in model.parameters]
    return [d + d.T if p.is_symmetric() and d.ndim == 2 else d for p, d in zip(model.parameters, found, strict=True)]


def row(name: str, eager: bool) -> str:
    model = MODELS[name]()
    made = layers(model, eager)
    calls = {key: losses(layer, model, compiled) for key, (layer, compiled) in made.items()}
    rows: dict[str, Callable[[], Any]] = {"Clarabel": bare(Program(model.problem))}
    for key, (forward, both, _) in calls.items():
        rows |= {f"{key} forward": forward, f"{key} both": both}
    found = medians(rows, 15)
    theta, direction, step = [p.value for p in model.parameters], directions(model), 1e-5
    value = calls["icg"][2]
    ends = [float(value(*(t + s * step * d for t, d in zip(theta, direction, strict=True)))) for s in (1, -1)]
    slope = (ends[0] - ends[1]) / (2 * step)
    cells = [f"{found['Clarabel']:.3g}"]
    own = max(found["icg both"] - found["icg forward"], 1e-3)
    for key, (_, both, _) in calls.items():
        if f"{key} both" not in found:
            cells.append("failed")
            continue
        forward, backward = found[f"{key} forward"], max(found[f"{key} both"] - found[f"{key} forward"], 1e-3)
        error = abs(directional(both()[1], direction) - slope) / max(abs(slope), 1e-3)
        ratio = f"{forward / found['Clarabel']:.2f}x" if key == "icg" else f"{backward / own:.1f}x"
        cells.append(f"{forward:.3g}, {backward:.3g} ({ratio}, {error:.1e})")
    return f"| {name} | " + " | ".join(cells) + " |"


def main(arguments: list[str]) -> int:
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, jax {jax.__version__},")
    print(f"cvxpy {cp.__version__}; command: python benchmarks/layers.py {' '.join(arguments)}\n")
    print("Forward, backward in CPU milliseconds (icg: forward / Clarabel; others: backward / icg's; gradient error)\n")
    print("| model | Clarabel | icg | cvxpylayers, diffcp | cvxpylayers, Moreau |")
    print("|---|---|---|---|---|")
    wanted = [argument for argument in arguments if not argument.startswith("-")]
    for name in MODELS:
        if not wanted or any(part in name for part in wanted):
            print(row(name, "--eager" in arguments), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
