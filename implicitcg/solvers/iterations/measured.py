"""The cheapest method that the measured contraction rate allows."""

from __future__ import annotations

from typing import Any

import equinox as eqx

from ...core import AbstractProblem, AbstractSolver, Found
from ...linear.anderson import AndersonMixing
from ...linear.iteration import Damped, resume, run_iteration
from .equation import equation, found
from .newton_krylov import NewtonStep


class Measured(AbstractSolver[AbstractProblem]):
    """The plain iteration while it contracts fast, Anderson's where it does not, Newton-Krylov where that fails.

    The rate is measured as the iteration goes: plain steps are the cheapest, and beat acceleration up to a rate of
    about `fast`. Every sample of a batch changes method for itself, and starts from its best point. This is what
    `icg.deq.DEQ` uses.

    Args:
        tolerance: reach `||F(z)|| <= tolerance max(1, ||z||)`; `None` means `100 eps`.
        fast: the rate up to which the plain iteration is kept.
        memory: differences that Anderson keeps.
        max_steps: evaluations of the first two methods at the most.
        newton_steps: steps of the last one at the most; 0 leaves it out.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> float(icg.solve(icg.fixed_point(jnp.cos), icg.solvers.Measured(), init=0.0).value.round(3))
        0.739
    """

    tolerance: float | None = eqx.field(static=True, default=None)
    fast: float = eqx.field(static=True, default=0.6)
    memory: int = eqx.field(static=True, default=5)
    max_steps: int = eqx.field(static=True, default=200)
    newton_steps: int = eqx.field(static=True, default=30)

    def run(self, problem: AbstractProblem, init: Any) -> Found:
        posed = equation(problem, init, self.tolerance)

        def fast_enough(steps: Any, rate: Any) -> Any:
            return (steps < 4) | (rate < self.fast)

        plain = run_iteration(posed.evaluate, posed.start, Damped(), posed.tolerance, self.max_steps, fast_enough)
        budget = self.max_steps - plain.steps
        reached = resume(posed.evaluate, plain, AndersonMixing(self.memory), posed.tolerance, budget)
        if self.newton_steps:
            newton = NewtonStep(problem, posed.evaluate, posed.unravel, 30, 100)
            reached = resume(posed.evaluate, reached, newton, posed.tolerance, self.newton_steps)
        return found(posed, reached)
