"""The plain and the damped fixed-point iteration."""

from __future__ import annotations

from typing import Any

import equinox as eqx

from ...core import AbstractProblem, AbstractSolver, Found
from ...linear.iteration import Damped
from .equation import solve_by


class FixedPointIteration(AbstractSolver[AbstractProblem]):
    """`z <- z - damping F(z)`: for `z = f(z)` the plain iteration at 1, its damped form below.

    It converges where `f` contracts; damping helps where `f` overshoots (a negative slope, up to `2 / damping - 1` in
    size). The derivative does not depend on it.

    Args:
        tolerance: reach `||F(z)|| <= tolerance max(1, ||z||)`; `None` means `100 eps`.
        damping: in (0, 1].
        max_steps: evaluations at the most.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> solver = icg.solvers.FixedPointIteration()
        >>> float(icg.solve(icg.fixed_point(jnp.cos), solver, init=0.0).value.round(3))
        0.739
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    damping: float = eqx.field(static=True, default=1.0)
    max_steps: int = eqx.field(static=True, default=1000)

    def __check_init__(self) -> None:
        if not 0 < self.damping <= 1:
            raise ValueError(f"damping is {self.damping}; it must be in (0, 1].")

    def run(self, problem: AbstractProblem, init: Any) -> Found:
        return solve_by(problem, init, Damped(self.damping), self.tolerance, self.max_steps)
