"""Adjoints that factorise: by the inverse that a linearisation brings along, or by that of a dense matrix."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import Array, lax
from jax.flatten_util import ravel_pytree

from ..base import Status, only_where
from ..core import AbstractAdjoint, Linearisation
from ..linear import AbstractInverse, SplittingInverse, dense_inverse
from ..linear.solves import Matvec, as_matrix, minimum_norm
from .contract import AbstractExact, Solved, Way

FEW = 128  # unknowns up to which another selection than the inverse's is factorised densely, also in a batch


class Direct(AbstractExact):
    """A factorisation: the solver's own where it left one, else Cholesky on the face, else a dense LU."""

    def way(self, linearisation: Linearisation, matvec: Matvec, like: Array) -> Way:
        inverse = linearisation.inverse
        if inverse is None or isinstance(inverse, SplittingInverse):  # which iterates
            inverse = dense_inverse(lax.stop_gradient(as_matrix(matvec, like.shape[0], like.dtype)))
        return by_inverse(inverse, None)


class MinimumNorm(AbstractAdjoint):
    """The least-squares answer of least norm, also where the system is singular. It is never certified.

    Where `B` is invertible it agrees with the other adjoints; elsewhere the theorem does not apply, and the number may
    be unrelated to any derivative of the solution.
    """

    def solve(self, linearisation: Linearisation, rhs: Any, *, throw: bool) -> Any:
        flat, unravel = ravel_pytree(rhs)
        matrix = as_matrix(linearisation.on_vectors(unravel), flat.shape[0], flat.dtype)
        return unravel(minimum_norm(matrix, flat))


def by_inverse(inverse: AbstractInverse, otherwise: Way | None) -> Way:
    """The way by an inverse, with an iterative way for what it leaves (or nothing)."""
    constant = lax.stop_gradient(eqx.filter(inverse, eqx.is_array))
    inverse = eqx.combine(constant, inverse)
    regular = inverse.facts().regular
    return _judged(inverse, otherwise) if regular is None else _proven(inverse, regular, otherwise)


def _proven(inverse: AbstractInverse, regular: Array, otherwise: Way | None) -> Way:
    """By an inverse whose pivots prove that the system is regular, so that nobody looks at residuals.

    Where it does not apply, which is when a face has outgrown the room for it, `otherwise` solves.
    """

    def run(matvec: Matvec, b: Array, transposed: bool) -> Solved:
        return Solved(inverse.solve(b, transposed=transposed)[0])

    applies = inverse.facts().applies
    if applies is True or applies is None:
        return Way(run, regular)
    if otherwise is None:
        return Way(run, regular, Status.where(applies, Status.singular, Status.over_capacity))
    iterate = otherwise.run

    def run_or_iterate(matvec: Matvec, b: Array, transposed: bool) -> Solved:
        x, ok = lax.cond(
            applies,
            lambda b: (inverse.solve(b, transposed=transposed)[0], jnp.asarray(True)),
            lambda b: iterate(matvec, b, transposed)[:2],
            b,
        )
        return Solved(x, ok)

    return Way(run_or_iterate, regular | ~applies)


def _judged(inverse: AbstractInverse, otherwise: Way | None) -> Way:
    """By an inverse that is not trusted: what it returns is judged by the residual in units of `||b|| + ||x||`.

    A selection that is not the inverse's has another `B`, for which the system is factorised densely: where the inverse
    says whether it applies that decides, and else the residual does, for at most `FEW` unknowns. Right sides of zero
    have the solution zero, whatever `B` is. Where the inverse is dear, it is for what `otherwise` does not solve.
    """
    applies, dear, _ = inverse.facts()

    def run(matvec: Matvec, b: Array, transposed: bool) -> Solved:
        if dear and otherwise is not None:
            x, regular = otherwise.attempt(matvec, b, transposed)
            x, regular = only_where(~regular, lambda: inverse.solve(b, transposed=transposed), (x, regular))
        else:
            x, regular = inverse.solve(b, transposed=transposed)
        x = jnp.where(regular, x, 0)
        size = jnp.linalg.norm(b)
        left = jnp.linalg.norm(matvec(x) - b)
        close = left <= jnp.finfo(b.dtype).eps ** 0.5 * (size + jnp.linalg.norm(x))
        status = Status.where(regular, Status.adjoint_failed, Status.singular)
        if applies is True or (applies is None and b.shape[0] > FEW):
            return Solved(x, close | (size == 0), status)
        other = ~close if applies is None else ~jnp.asarray(applies)

        def densely() -> tuple[Array, Array]:
            # wanted by one element, it runs for a whole batch, whose healthy elements must not wait for it
            matrix = as_matrix(matvec, b.shape[0], b.dtype)
            matrix = jnp.where(other, matrix, jnp.eye(b.shape[0], dtype=b.dtype))
            x, regular = dense_inverse(matrix).solve(b, transposed=False)
            return jnp.where(regular, x, 0), regular

        x, close = only_where(other, densely, (x, close))
        status = Status.where(jnp.where(other, close, regular), Status.adjoint_failed, Status.singular)
        return Solved(x, close | (size == 0), status)

    return Way(run)
