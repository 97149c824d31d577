"""One step of a method of diffrax on a smooth field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..base import needs

Stepper = Callable[[Callable[[Array, Array], Array], Array, Array, Array], tuple[Array, Array]]


def diffrax() -> Any:
    """The diffrax package, or an `ImportError` that says how to get it."""
    return needs("diffrax", "flow", "icg.flow")


def stepper(method: Any, rtol: float, atol: float) -> tuple[Stepper, int]:
    """`step(f, t0, t1, y) -> (y1, error)` of a method, and the order of its error estimate.

    A step is a plain function of its arguments: it differentiates in both modes, to any order. Explicit methods are
    their tableau; others run diffrax's own step, whose equations are differentiated implicitly.
    """
    dfx = diffrax()
    method = dfx.Tsit5() if method is None else method
    if not isinstance(method, dfx.AbstractSolver):
        raise TypeError(f"`method` is a solver of diffrax, such as diffrax.Tsit5(), and is a {type(method).__name__}.")
    if not isinstance(method, dfx.AbstractERK | dfx.AbstractDIRK) or method.tableau.b_error is None:
        raise TypeError(
            f"{type(method).__name__} is no Runge-Kutta method with an estimate of its error, so steps cannot adapt. "
            "Use diffrax.Tsit5() or diffrax.Dopri8(), or diffrax.Kvaerno5() where the equation is stiff."
        )
    if isinstance(method, dfx.AbstractERK):
        return _explicit(method.tableau), method.order(None)
    return _general(dfx, method, rtol, atol), method.order(None)


def _explicit(tableau: Any) -> Stepper:
    stages = tableau.num_stages
    lower = np.zeros((stages, stages))
    for i, row in enumerate(tableau.a_lower):
        lower[i + 1, : i + 1] = row
    nodes = np.concatenate([[0.0 if tableau.c1 is None else float(tableau.c1)], np.asarray(tableau.c, float)])
    solution, error = np.asarray(tableau.b_sol, float), np.asarray(tableau.b_error, float)

    def step(f, t0, t1, y):
        h = t1 - t0
        a, c, b, e = (jnp.asarray(part, y.dtype) for part in (lower, nodes, solution, error))

        def stage(slopes, row):
            a, c, i = row
            return slopes.at[i].set(f(t0 + c * h, y + h * (a @ slopes))), None

        slopes, _ = lax.scan(stage, jnp.zeros((stages, y.size), y.dtype), (a, c, jnp.arange(stages)))
        return y + h * (b @ slopes), h * (e @ slopes)

    return step


def _general(dfx: Any, method: Any, rtol: float, atol: float) -> Stepper:
    if method.scan_kind is None:
        method = eqx.tree_at(lambda m: m.scan_kind, method, "bounded", is_leaf=lambda leaf: leaf is None)
    if not isinstance(method.root_finder.rtol, float):  # a mark of diffrax: "as the controller of the steps"
        finder = dfx.VeryChord(rtol=rtol, atol=atol)
        method = eqx.tree_at(lambda m: m.root_finder, method, finder)

    def step(f, t0, t1, y):
        term = dfx.ODETerm(lambda t, y, args: f(t, y))
        state = method.init(term, t0, t1, y, None)
        y1, error, _, _, _ = method.step(term, t0, t1, y, None, state, made_jump=jnp.asarray(True))
        return y1, error

    return step


def scaled_norm(error: Array, before: Array, after: Array, rtol: Array, atol: Array) -> Array:
    """The root mean square of the errors in units of `atol + rtol |y|`."""
    scale = atol + rtol * jnp.maximum(jnp.abs(before), jnp.abs(after))
    return jnp.sqrt(jnp.mean(jnp.square(error / scale)))
