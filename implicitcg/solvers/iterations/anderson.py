"""Anderson acceleration of a fixed-point iteration."""

from __future__ import annotations

from typing import Any

import equinox as eqx

from ...core import AbstractProblem, AbstractSolver, Found
from ...linear.anderson import AndersonMixing
from .equation import solve_by


class Anderson(AbstractSolver[AbstractProblem]):
    """The combination of the last `memory` points whose residual would be smallest, then one (damped) step of the map.

    For affine maps this is GMRES in small; it needs far fewer evaluations than the plain iteration where that contracts
    slowly, and often converges where it does not contract at all, without a guarantee. Buffers have a fixed size.

    Args:
        tolerance: reach `||F(z)|| <= tolerance max(1, ||z||)`; `None` means `100 eps`.
        memory: differences kept, at least 1.
        ridge: added to the Gram matrix of the differences, relative to its diagonal; `None` means `100 eps`.
        damping: of the step of the map, in (0, 1].
        restart: the memory is dropped when the residual grows by more than this factor.
        max_steps: evaluations at the most.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> solution = icg.solve(icg.fixed_point(jnp.cos), icg.solvers.Anderson(), init=0.0)
        >>> float(solution.value.round(3)), int(solution.iterations) < 10
        (0.739, True)

    Source: Walker, Ni, Anderson acceleration for fixed-point iterations, SIAM J. Numer. Anal. 2011.
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    memory: int = eqx.field(static=True, default=5)
    ridge: float | None = eqx.field(static=True, default=None)
    damping: float = eqx.field(static=True, default=1.0)
    restart: float = eqx.field(static=True, default=4.0)
    max_steps: int = eqx.field(static=True, default=1000)

    def __check_init__(self) -> None:
        if self.memory < 1 or not 0 < self.damping <= 1:
            raise ValueError(
                f"Anderson needs memory >= 1 and damping in (0, 1]; they are {self.memory} and {self.damping}."
            )

    def run(self, problem: AbstractProblem, init: Any) -> Found:
        mixing = AndersonMixing(self.memory, self.ridge, self.damping, self.restart)
        return solve_by(problem, init, mixing, self.tolerance, self.max_steps)
