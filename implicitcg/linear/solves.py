"""Small linear solvers that say whether they solved: `(x, ok)` for `B x = b` on flat vectors.

They are written for use inside `lax.custom_linear_solve`, whose `solve` argument is opaque to differentiation; what is
needed there is an honest verdict, which library solvers do not give (a singular LU returns numbers).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import lu_factor, lu_solve
from jaxtyping import Bool, Float, Int

from ..base import fori_loop, while_loop

Matvec = Callable[[Float[Array, " d"]], Float[Array, " d"]]


def as_matrix(matvec: Matvec, dimension: int, dtype: jnp.dtype) -> Float[Array, "d d"]:
    """The matrix of a linear map, one column per basis vector."""
    return jax.vmap(matvec, in_axes=1, out_axes=1)(jnp.eye(dimension, dtype=dtype))


def reciprocal_condition(matrix: Float[Array, "d d"], lu: tuple[Array, Array]) -> Float[Array, ""]:
    """An estimate of `1 / (||B||_F ||B^{-1}||_2)` by inverse power iteration with the factors of `B`.

    Three double solves from a fixed vector without symmetry; the estimate is never below the truth by construction
    (`||B^{-1} B^{-T} v||` underestimates the norm), so a small value is a proof of near singularity.
    """
    dimension = matrix.shape[0]
    vector = jnp.cos(1.0 + jnp.arange(dimension, dtype=matrix.dtype))

    def step(_: int, state: tuple[Array, Array]) -> tuple[Array, Array]:
        v, _growth = state
        w = lu_solve(lu, lu_solve(lu, v / jnp.linalg.norm(v)), trans=1)
        return w, jnp.linalg.norm(w)

    _, growth = fori_loop(0, 3, step, (vector, jnp.ones((), matrix.dtype)))
    return 1 / (jnp.sqrt(growth) * jnp.linalg.norm(matrix))


def lu(matrix: Float[Array, "d d"]) -> tuple[tuple[Array, Array], Bool[Array, ""]]:
    """LU factors of `matrix` and whether it is invertible to working precision (condition below `1 / (10 d eps)`)."""
    factors = lu_factor(matrix)
    threshold = 10 * matrix.shape[0] * jnp.finfo(matrix.dtype).eps
    condition = reciprocal_condition(matrix, factors)
    return factors, condition > threshold  # NaN compares False


def minimum_norm(matrix: Float[Array, "d d"], rhs: Float[Array, " d"]) -> Float[Array, " d"]:
    """The least-squares solution of least norm, by the singular value decomposition."""
    u, s, vt = jnp.linalg.svd(matrix, full_matrices=False)
    cutoff = 10 * matrix.shape[0] * jnp.finfo(matrix.dtype).eps * s[0]
    inverse = jnp.where(s > cutoff, 1 / jnp.where(s > cutoff, s, 1), 0)
    return vt.T @ (inverse * (u.T @ rhs))


def largest_eigenvalue(matvec: Matvec, dimension: int, dtype: Any, rounds: int) -> Float[Array, ""]:
    """A lower estimate of the largest eigenvalue of a positive semidefinite map, by power iteration.

    It starts from a fixed vector, so that equal problems have equal answers.
    """

    def product(_: int, v: Array) -> Array:
        image = matvec(v)
        return image / jnp.maximum(jnp.linalg.norm(image), jnp.finfo(dtype).tiny)

    v = fori_loop(0, rounds, product, jnp.cos(1.0 + jnp.arange(dimension, dtype=dtype)))
    return jnp.linalg.norm(matvec(v))


class Iterated(NamedTuple):
    """What an iterative solver reached: `residual` is `||B x - b|| / ||b||`, evaluated anew, and `ok` its verdict."""

    x: Float[Array, " d"]
    ok: Bool[Array, ""]
    steps: Int[Array, ""]
    residual: Float[Array, ""]


def conjugate_gradient(
    matvec: Matvec,
    rhs: Float[Array, " d"],
    tolerance: float,
    max_steps: int,
    diagonal: Float[Array, " d"] | None = None,
) -> Iterated:
    """Conjugate gradients for a symmetric positive definite map, to `||B x - b|| <= tolerance ||b||`.

    With a positive `diagonal` `D`, usually that of `B`, the iteration is that of `D^{-1/2} B D^{-1/2}`, and so is the
    norm in which it stops.
    """
    if diagonal is not None:
        root = jnp.sqrt(diagonal)
        scaled = conjugate_gradient(lambda v: matvec(v / root) / root, rhs / root, tolerance, max_steps)
        x = scaled.x / root
        return Iterated(x, scaled.ok, scaled.steps, _relative_residual(matvec, x, rhs))
    target = tolerance * jnp.linalg.norm(rhs)

    def unfinished(state: tuple) -> Bool[Array, ""]:
        _, residual, _, steps = state
        return (jnp.linalg.norm(residual) > target) & (steps < max_steps)

    def step(state: tuple) -> tuple:
        x, residual, direction, steps = state
        image = matvec(direction)
        curvature = jnp.vdot(direction, image)
        old = jnp.vdot(residual, residual)
        length = old / jnp.where(curvature > 0, curvature, jnp.inf)  # on a null direction: stand still
        x, residual = x + length * direction, residual - length * image
        return x, residual, residual + (jnp.vdot(residual, residual) / old) * direction, steps + 1

    start = (jnp.zeros_like(rhs), rhs, rhs, jnp.zeros((), jnp.int32))
    x, _, _, steps = while_loop(unfinished, step, start)
    # judged on the true residual: the recursive one drifts
    residual = _relative_residual(matvec, x, rhs)
    return Iterated(x, residual <= 10 * tolerance, steps, residual)


def _relative_residual(matvec: Matvec, x: Float[Array, " d"], rhs: Float[Array, " d"]) -> Float[Array, ""]:
    size = jnp.linalg.norm(rhs)
    return jnp.linalg.norm(matvec(x) - rhs) / jnp.where(size > 0, size, 1)
