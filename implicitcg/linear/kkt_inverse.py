"""The inverse of the linearised optimality system of a quadratic program, from the factors of its active set."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float

from ..base import one_by_one
from .inverse import AbstractInverse, Facts
from .kkt import KKTFactor

ENOUGH = 30  # roundings of a residual with which a solution is not refined: the refined one has about ten
SMALL = 40  # rows of the system up to which a batch is solved at once; above, its elements one after another


class KKTInverse(AbstractInverse):
    """`B^{-1}` for `B = [[P, A^T, G^T (D - I)], [A, 0, 0], [G, 0, D]]`, `D` 0 on the active rows, 1 elsewhere.

    With `dz = -dv` on the active rows both `B (dx, dy, dv) = rhs` and its transpose are the reduced system of
    `KKTFactor`; all other rows are read off. Equalities that depend on each other make some right sides solvable and
    others not, so that the verdict is one on each.
    """

    factor: KKTFactor
    P: Float[Array, "n n"]
    A: Float[Array, "e n"]
    G: Float[Array, "m n"]
    chosen: Bool[Array, ""]

    def facts(self) -> Facts:
        """See `AbstractInverse.facts`: it is about the active set that the factor was `chosen` for."""
        return Facts(applies=self.chosen)

    def solve(self, rhs: Float[Array, " d"], *, transposed: bool) -> tuple[Float[Array, " d"], Bool[Array, ""]]:
        function = _solve_transposed if transposed else _solve
        if len(rhs) > SMALL:
            function = one_by_one(function)
        found, consistent = function(self.factor, self.P, self.A, self.G, rhs)
        return found, self.factor.healthy & consistent


def _split(rhs: Array, P: Array, A: Array, G: Array) -> tuple[Array, Array, Array]:
    n, e = len(P), len(A)
    # An empty slice at the end of a concatenation is one that XLA's simplifier does not finish. On a machine with one
    # core it then leaves later functions as they are, and their callbacks are not found when the program is compiled.
    last = rhs[n + e :] if len(G) else jnp.zeros(0, rhs.dtype)
    return rhs[:n], rhs[n : n + e], last


def _enough(rhs: Array) -> float:
    return ENOUGH * float(jnp.finfo(rhs.dtype).eps)


def _solve(factor: KKTFactor, P: Array, A: Array, G: Array, rhs: Array) -> tuple[Array, Array]:
    r = _split(rhs, P, A, G)
    x, y, multiplier = factor.refined(P, A, G, r, _enough(rhs))
    found = jnp.concatenate([x, y, jnp.where(factor.active, -multiplier, r[2] - G @ x)])
    return found, factor.consistent(A, r[1], x)


def _solve_transposed(factor: KKTFactor, P: Array, A: Array, G: Array, rhs: Array) -> tuple[Array, Array]:
    r_x, r_y, r_v = _split(rhs, P, A, G)
    inactive = jnp.where(factor.active, 0, r_v)
    x, y, multiplier = factor.refined(P, A, G, (r_x - inactive @ G, r_y, -r_v), _enough(rhs))
    return jnp.concatenate([x, y, jnp.where(factor.active, multiplier, r_v)]), factor.consistent(A, r_y, x)
