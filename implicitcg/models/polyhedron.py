"""Affine sets and polyhedra: sets whose projection is a quadratic program."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from ..equations.quadratic_program import QP
from ..penalties.sets import AbstractSet
from ..penalties.sets.affine import unit_rows
from ..solving import solve


class Polyhedron(AbstractSet):
    """The polyhedron `{x : A x = b, G x <= h}`; `G` with no rows makes an affine set.

    `p = x + d` with `d` the solution of the quadratic program `min 1/2 ||d||^2`, `A d = b - A x`, `G d <= h - G x`,
    solved by `icg.solve` on rows of unit length and right-hand sides of size one. Its equation gives the derivatives
    in `x` and in all of `A, b, G, h`.

    Tie rule: that of `icg.qp`: a constraint that is met with multiplier zero is inactive. Linearly dependent active
    constraints have no derivative, and it is refused. Cost: an interior point method on dense matrices, `O(n^3)` a
    step.
    """

    A: Float[Array, "e n"]
    b: Float[Array, " e"]
    G: Float[Array, "m n"]
    h: Float[Array, " m"]

    def project(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        flat = x.reshape(-1, x.shape[-1])
        return jnp.vectorize(self._one, signature="(n)->(n)")(flat).reshape(x.shape)

    def _one(self, x: Array) -> Array:
        A, b = unit_rows(self.A, self.b)
        G, h = unit_rows(self.G, self.h)
        b, h = b - A @ x, h - G @ x
        size = lax.stop_gradient(jnp.max(jnp.abs(jnp.concatenate([b, h])), initial=0.0))
        size = jnp.where(size > 0, size, 1)
        identity, zero = jnp.eye(x.shape[0], dtype=x.dtype), jnp.zeros_like(x)
        return x + size * solve(QP(identity, zero, A, b / size, G, h / size)).value
