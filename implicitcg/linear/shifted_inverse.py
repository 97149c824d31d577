"""The inverse of a singular matrix, for right sides that have a solution all the same."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import lu_factor, lu_solve
from jaxtyping import Bool, Float

from ..base import fori_loop
from .inverse import AbstractInverse, Facts


class ShiftedInverse(AbstractInverse):
    """Solves `B x = rhs` by `x += (B + d I)^{-1} (rhs - B x)`, which converges to a solution if there is one.

    It is accepted if its residual is at most `sqrt(eps)` of `rhs`. Build it with `shifted_inverse`.
    """

    matrix: Float[Array, "k k"]
    factors: tuple[Float[Array, "k k"], Array]
    shift: Float[Array, ""]

    def facts(self) -> Facts:
        return Facts(applies=True)

    def solve(self, rhs: Float[Array, " k"], *, transposed: bool) -> tuple[Float[Array, " k"], Bool[Array, ""]]:
        """See `AbstractInverse.solve`; here, whether `B x = rhs` has a solution."""
        side = self.matrix.T if transposed else self.matrix

        def refine(_: Any, x: Array) -> Array:
            return x + lu_solve(self.factors, rhs - side @ x, trans=int(transposed))

        x = fori_loop(0, 6, refine, jnp.zeros_like(rhs))
        return x, jnp.linalg.norm(side @ x - rhs) <= _small(rhs) * jnp.linalg.norm(rhs)

    def null_vector(self) -> Float[Array, " k"]:
        """A null vector of `B` without symmetry, `lim (d (B + d I)^{-1})^k g`; near zero if there is none."""
        start = jnp.cos(1.0 + jnp.arange(len(self.matrix), dtype=self.matrix.dtype))
        return fori_loop(0, 3, lambda _, v: self.shift * lu_solve(self.factors, v), start)


def shifted_inverse(matrix: Float[Array, "k k"]) -> ShiftedInverse:
    """The inverse with the shift `d = sqrt(eps) max |B|`."""
    shift = _small(matrix) * jnp.max(jnp.abs(matrix))
    return ShiftedInverse(matrix, lu_factor(matrix + shift * jnp.eye(len(matrix), dtype=matrix.dtype)), shift)


def _small(like: Array) -> float:
    return float(jnp.finfo(like.dtype).eps) ** 0.5
