"""The inverse of the linearised optimality system of a quadratic program, from the factors of its active set."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float

from ..base import one_by_one
from ..core import AbstractInverse
from ..linear import KKTFactor

ENOUGH = 30  # roundings of a residual with which a solution is not refined: the refined one has about ten
SMALL = 40  # rows of the system up to which a batch is solved at once; above, its elements one after another


class QuadraticInverse(AbstractInverse):
    """`B^{-1}` for `B = [[P, A^T, G^T (D - I)], [A, 0, 0], [G, 0, D]]`, `D` 0 on the active rows, 1 elsewhere.

    With `dz = -dv` on the active rows both `B (dx, dy, dv) = rhs` and its transpose are the reduced system of
    `KKTFactor`; all other rows are read off.
    """

    factor: KKTFactor
    P: Float[Array, "n n"]
    A: Float[Array, "e n"]
    G: Float[Array, "m n"]

    def solve(self, rhs: Float[Array, " d"], *, transposed: bool) -> tuple[Float[Array, " d"], Bool[Array, ""]]:
        """See `AbstractInverse.solve`."""
        function = _solve_transposed if transposed else _solve
        if len(rhs) > SMALL:
            function = one_by_one(function)
        found, consistent = function(self, rhs)
        return found, self.factor.healthy & consistent


def _split(inverse: QuadraticInverse, rhs: Array) -> tuple[Array, Array, Array]:
    n, e = len(inverse.P), len(inverse.A)
    # An empty slice at the end of a concatenation is one that XLA's simplifier does not finish. On a machine with one
    # core it then leaves later functions as they are, and their callbacks are not found when the program is compiled.
    last = rhs[n + e :] if len(inverse.G) else jnp.zeros(0, rhs.dtype)
    return rhs[:n], rhs[n : n + e], last


def _enough(rhs: Array) -> float:
    return ENOUGH * float(jnp.finfo(rhs.dtype).eps)


def _solve(inverse: QuadraticInverse, rhs: Array) -> tuple[Array, Array]:
    factor, G = inverse.factor, inverse.G
    r = _split(inverse, rhs)
    x, y, multiplier = factor.refined(inverse.P, inverse.A, G, r, _enough(rhs))
    found = jnp.concatenate([x, y, jnp.where(factor.active, -multiplier, r[2] - G @ x)])
    return found, factor.consistent(inverse.A, r[1], x)


def _solve_transposed(inverse: QuadraticInverse, rhs: Array) -> tuple[Array, Array]:
    factor, G = inverse.factor, inverse.G
    r_x, r_y, r_v = _split(inverse, rhs)
    inactive = jnp.where(factor.active, 0, r_v)
    x, y, multiplier = factor.refined(inverse.P, inverse.A, G, (r_x - inactive @ G, r_y, -r_v), _enough(rhs))
    return jnp.concatenate([x, y, jnp.where(factor.active, multiplier, r_v)]), factor.consistent(inverse.A, r_y, x)
