"""A problem's equation on flat vectors, and the verdict on where a fixed-point method ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree

from ...base import Status
from ...core import AbstractProblem, Found
from ...linear.iteration import Evaluated, Method, Reached, run_iteration, two_norm


class Equation(NamedTuple):
    """`F(u)` with the size `||F(u)||` and the scale `max(1, ||u||)` on flat vectors, a start, and the way back."""

    evaluate: Callable[[Array], Evaluated]
    start: Array
    unravel: Callable[[Array], Any]
    tolerance: float


def equation(problem: AbstractProblem, init: Any, tolerance: float | None) -> Equation:
    """The equation of `problem` from `init`; `tolerance=None` means `100 eps`."""
    start, unravel = ravel_pytree(init)

    def evaluate(u: Array) -> Evaluated:
        F = ravel_pytree(problem.residual(unravel(u)))[0].astype(u.dtype)
        return Evaluated(F, two_norm(F), jnp.maximum(two_norm(u), 1), u)

    eps = float(jnp.finfo(start.dtype).eps)
    return Equation(evaluate, start, unravel, 100 * eps if tolerance is None else tolerance)


def found(equation: Equation, reached: Reached, steps: Array | None = None, memory: Any = None) -> Found:
    """The best point with its status: a residual that grew tenfold or is not finite means divergence."""
    status = Status.where(reached.diverged(), Status.diverged, Status.not_converged)
    status = Status.where(reached.size <= equation.tolerance, Status.converged, status)
    return Found(equation.unravel(reached.point), status, reached.steps if steps is None else steps, memory)


def solve_by(problem: AbstractProblem, init: Any, method: Method, tolerance: float | None, max_steps: int) -> Found:
    """Solve by one method from beginning to end."""
    posed = equation(problem, init, tolerance)
    return found(posed, run_iteration(posed.evaluate, posed.start, method, posed.tolerance, max_steps))
