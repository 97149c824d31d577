"""Flows with kinks and jumps against diffrax at one tolerance: error of the solution and of its derivative, and time.

    python benchmarks/flow.py [--small]

Tsit5 everywhere, relative tolerance 1e-4, 1e-6, 1e-8, absolute a thousandth of it. `checkpoint` is diffrax's default
adjoint, `forward` its forward mode. The reference is `icg.flow` with Dopri8 at 1e-12, checked against the exact
formula where there is one. `steps` counts attempts. Time is CPU time of value and gradient, compiled, medians of
alternating runs; `compile` is the CPU time of tracing and compiling them once.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # two BLAS threads stall each other on small machines

import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

import implicitcg as icg

jax.config.update("jax_enable_x64", True)


def gate(t: Any, y: Any, args: Any) -> Any:
    return jnp.stack([jnp.ones_like(t), jax.nn.relu(y[0]) * y[1]])


def oscillator(t: Any, y: Any, args: Any) -> Any:
    """A mass between two springs, one of which is slack half of the time."""
    return jnp.stack([y[1], -y[0] - 20 * jax.nn.relu(y[0] - 0.3) - 0.1 * y[1] + 0.5 * jnp.cos(t)])


def network(width: int) -> tuple[Callable[..., Any], Any]:
    random = np.random.default_rng(0)
    W, V = random.standard_normal((width, 8)), random.standard_normal((8, width)) / width
    weights = (jnp.asarray(W), jnp.asarray(V))
    return lambda t, y, args: weights[1] @ jax.nn.relu(weights[0] @ y) - 0.3 * y, jnp.asarray(random.standard_normal(8))


def switch(t: Any, y: Any, args: Any) -> Any:
    """A jump of the field."""
    return jnp.stack([jnp.where(y[0] > 0, 0.5, 2.0), jnp.where(y[0] > 0, y[1], -y[1])])


def ours(field: Any, T: float, rtol: float, method: Any = None) -> Callable[[Any], Any]:
    def end(y0: Any) -> Any:
        options = {"rtol": rtol, "atol": rtol / 1000, "allow_jumps": True, "max_crossings": 256, "solver": method}
        flow = icg.flow.solve(field, y0, None, (0.0, T), **options)
        return flow.value[-1].sum(), flow.attempts

    return end


def theirs(field: Any, T: float, rtol: float, adjoint: Any) -> Callable[[Any], Any]:
    def end(y0: Any) -> Any:
        controller = diffrax.PIDController(rtol=rtol, atol=rtol / 1000)
        term = diffrax.ODETerm(field)
        options = {"stepsize_controller": controller, "adjoint": adjoint}
        found = diffrax.diffeqsolve(term, diffrax.Tsit5(), 0.0, T, None, y0, **options)
        return found.ys[-1].sum(), found.stats["num_steps"]

    return end


def both(end: Any, forward: bool) -> Callable[[Any], Any]:
    if not forward:
        return jax.value_and_grad(end, has_aux=True)

    def run(y0: Any) -> Any:
        value, steps = end(y0)
        return (value, steps), jax.jacfwd(lambda y: end(y)[0])(y0)

    return run


def main(small: bool) -> None:
    print(
        f"{platform.machine()}, Python {platform.python_version()}, JAX {jax.__version__}, "
        f"diffrax {diffrax.__version__}"
    )
    wide, start = network(16 if small else 64)
    cases = [
        ("gate", gate, jnp.array([-1.0, 1.0]), 2.0),
        ("two springs", oscillator, jnp.array([0.0, 0.5]), 10.0),
        (f"ReLU network, {16 if small else 64}", wide, start, 2.0),
        ("jump", switch, jnp.array([-1.0, 1.0]), 2.0),
    ]
    print("| flow | rtol | method | steps | error of the solution | of the derivative | CPU ms | compile s |")
    print("|---|---|---|---|---|---|---|---|")
    for name, field, y0, T in cases:
        reference = jax.jit(jax.value_and_grad(ours(field, T, 1e-12, diffrax.Dopri8()), has_aux=True))
        (truth, _), slope = reference(y0)
        if name == "gate":  # y = e^{1/2}, and its derivative is (1 + e^{1/2}, e^{1/2})
            growth = np.exp(0.5)
            assert np.allclose(truth, 1 + growth, rtol=1e-10) and np.allclose(slope, [1 + growth, growth], rtol=1e-9)
        for rtol in (1e-6,) if small else (1e-4, 1e-6, 1e-8):
            methods = {
                "icg": (ours(field, T, rtol), False),
                "checkpoint": (theirs(field, T, rtol, diffrax.RecursiveCheckpointAdjoint()), False),
                "forward": (theirs(field, T, rtol, diffrax.ForwardMode()), True),
            }
            rows, programs = {}, {}
            for method, (end, forward) in methods.items():
                begin = time.process_time()
                programs[method] = jax.jit(both(end, forward)).lower(y0).compile()
                rows[method] = [time.process_time() - begin]
            for _ in range(5 if small else 15):
                for method, program in programs.items():
                    begin = time.process_time()
                    (value, steps), gradient = jax.block_until_ready(program(y0))
                    rows[method].append(time.process_time() - begin)
                    errors = abs(float(value - truth)), float(jnp.abs(gradient - slope).max())
                    rows[method, "what"] = int(steps), *errors
            for method in methods:
                steps, far, off = rows[method, "what"]
                took = 1e3 * float(np.median(rows[method][2:]))
                print(
                    f"| {name} | {rtol:.0e} | {method} | {steps} | {far:.1e} | {off:.1e} | {took:.2f} | "
                    f"{rows[method][0]:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main("--small" in sys.argv)
