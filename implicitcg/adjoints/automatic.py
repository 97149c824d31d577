"""The one table that says which adjoint a linearisation gets by default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
from jax.flatten_util import ravel_pytree

from ..core import AbstractAdjoint, Linearisation
from .direct import GMRES, ConjugateGradient, Direct, solve_with_factor, solve_with_inverse
from .iterative import PeacemanRachford


class Automatic(AbstractAdjoint):
    """`Direct` where the space is small or a factor is at hand, `PeacemanRachford` for layers; else matrix-free.

    A face that has outgrown the capacities of the factor is left to `ConjugateGradient`, decided when the program runs;
    spaces above `dense_limit` without a factor are left to `GMRES`, and so are problems that say their inverse is dear,
    which then serves what is not solved. Where it is matrix-free, `report` is called as in `ConjugateGradient`.
    """

    dense_limit: int = eqx.field(static=True, default=2000)
    report: Callable[[Any, Any], None] | None = eqx.field(static=True, default=None)

    def solve(self, linearisation: Linearisation, rhs: Any, *, throw: bool) -> Any:
        """See `AbstractAdjoint.solve`."""
        if linearisation.splitting is not None:
            return PeacemanRachford().solve(linearisation, rhs, throw=throw)
        dimension = ravel_pytree(rhs)[0].shape[0]
        if linearisation.inverse is not None:
            first = GMRES(report=self.report) if linearisation.large else None
            return solve_with_inverse(linearisation, linearisation.inverse, rhs, throw, first)
        if linearisation.factor is not None:
            matrix_free = ConjugateGradient(report=self.report) if linearisation.symmetric else None
            return solve_with_factor(linearisation, rhs, throw, matrix_free)
        structured = linearisation.block is not None
        if structured or dimension <= self.dense_limit:
            return Direct().solve(linearisation, rhs, throw=throw)
        return GMRES(report=self.report).solve(linearisation, rhs, throw=throw)
