"""Affine sets, the solutions of linear equations."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.scipy.linalg import solve_triangular
from jaxtyping import Bool, Float

from ...base import Status, error_if, kink_tolerance
from ...linear import negligible
from .set import AbstractSet


class AffineSet(AbstractSet):
    """The affine set `{x : A x = b}` for at most as many equations as unknowns. It has no kinks.

    `p = x + A^+ (b - A x)`, with `A^T = Q R` on rows of unit length: one factorisation for a whole batch, and one step
    of refinement. A row that depends on the ones before it is left out, and the equations are checked at the end; it
    has no derivative in `A` and `b`, which is refused.

    >>> import jax.numpy as jnp
    >>> AffineSet(jnp.array([[1.0, 1.0]]), jnp.array([1.0])).project(jnp.array([1.0, 2.0])).round(5).tolist()
    [0.0, 1.0]
    """

    A: Float[Array, "e n"]
    b: Float[Array, " e"]

    def project(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        if len(self.b) == 0:
            return x
        A, b = unit_rows(self.A, self.b)
        Q, R = jnp.linalg.qr(A.T)
        independent = jnp.abs(jnp.diagonal(R)) > negligible(len(b), x.dtype)
        R = jnp.where(jnp.diag(~independent), jnp.inf, R)
        A, b, Q, R = _differentiable_where((A, b, Q, R), jnp.all(independent))
        p = _step(x, A, b, Q, R)
        p = _step(p, A, b, Q, R)
        size = jnp.max(jnp.abs(b)) + jnp.max(jnp.abs(x), axis=-1, keepdims=True)
        return error_if(p, jnp.any(jnp.abs(_misses(p, A, b)) > kink_tolerance(x.dtype) * size), Status.infeasible)

    def invalid(self) -> Array:
        """Whether a row of zeros asks for something else than zero."""
        return jnp.any(jnp.all(self.A == 0, axis=1) & (self.b != 0))


def unit_rows(matrix: Float[Array, "e n"], vector: Float[Array, " e"]) -> tuple[Array, Array]:
    """Rows of unit length. The lengths are constants to derivatives: they change the equations, not their solution."""
    length = lax.stop_gradient(jnp.sqrt(jnp.sum(matrix * matrix, axis=1)))
    length = jnp.where(length > 0, length, 1)
    return matrix / length[:, None], vector / length


def _misses(x: Array, A: Array, b: Array) -> Array:
    reached = x @ A.T
    return jnp.broadcast_to(b, reached.shape) - reached


def _step(x: Array, A: Array, b: Array, Q: Array, R: Array) -> Array:
    """`x + Q R^{-T} (b - A x)`, for all vectors of a batch at once."""
    missing = jnp.moveaxis(_misses(x, A, b), -1, 0)
    u = solve_triangular(R, missing.reshape(len(b), -1), trans=1)
    return x + (u.T @ Q.T).reshape(x.shape)


@jax.custom_jvp
def _differentiable_where(data: tuple[Array, ...], independent: Bool[Array, ""]) -> tuple[Array, ...]:
    """The identity, whose derivative is refused where rows are dependent."""
    del independent
    return data


@_differentiable_where.defjvp
def _rule(primals: tuple, tangents: tuple) -> tuple[Any, Any]:
    (data, independent), (moved, _) = primals, tangents
    one = error_if(jnp.ones((), data[0].dtype), ~independent, Status.singular)
    return data, jax.tree.map(lambda d: one * d, moved)
