"""The one table that says which adjoint a linearisation gets by default."""

from __future__ import annotations

import equinox as eqx
from jax import Array

from ..core import Linearisation
from ..linear import SplittingInverse
from ..linear.solves import Matvec
from .contract import AbstractExact, Way
from .direct import Direct, by_inverse
from .iterative import GMRES, ConjugateGradient, PeacemanRachford, Report


class Automatic(AbstractExact):
    """`Direct` where the space is small or an inverse is at hand, `PeacemanRachford` for layers; else matrix-free.

    A face that has outgrown the capacities of the factor is left to `ConjugateGradient`, decided when the program runs;
    spaces above `dense_limit` without an inverse are left to `GMRES`, and so are problems that say their inverse is
    dear, which then serves what is not solved. Where it is matrix-free, `report` is called as in `ConjugateGradient`.
    """

    dense_limit: int = eqx.field(static=True, default=2000)
    report: Report | None = eqx.field(static=True, default=None)

    def way(self, linearisation: Linearisation, matvec: Matvec, like: Array) -> Way:
        inverse = linearisation.inverse
        if isinstance(inverse, SplittingInverse):
            return PeacemanRachford().way(linearisation, matvec, like)
        if inverse is None and like.shape[0] <= self.dense_limit:
            return Direct().way(linearisation, matvec, like)
        krylov = ConjugateGradient if linearisation.symmetric and inverse is not None else GMRES
        matrix_free = krylov(report=self.report).way(linearisation, matvec, like)
        return matrix_free if inverse is None else by_inverse(inverse, matrix_free)
