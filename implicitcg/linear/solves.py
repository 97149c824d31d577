"""Small linear solvers that say whether they solved: `(x, ok)` for `B x = b` on flat vectors.

They are written for use inside `lax.custom_linear_solve`, whose `solve` argument is opaque to differentiation; what is
needed there is an honest verdict, which library solvers do not give (a singular LU returns numbers).
"""

from __future__ import annotations

from collections.abc import Callable

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


def conjugate_gradient(
    matvec: Matvec, rhs: Float[Array, " d"], tolerance: float, max_steps: int
) -> tuple[Float[Array, " d"], Bool[Array, ""], Int[Array, ""]]:
    """Conjugate gradients for a symmetric positive definite map, to `||B x - b|| <= tolerance ||b||`."""
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
    return x, jnp.linalg.norm(matvec(x) - rhs) <= 10 * target + jnp.finfo(rhs.dtype).tiny, steps


def gmres(
    matvec: Matvec, rhs: Float[Array, " d"], tolerance: float, max_steps: int
) -> tuple[Float[Array, " d"], Bool[Array, ""]]:
    """Restarted GMRES for a general map, to `||B x - b|| <= tolerance ||b||`, judged on the true residual."""
    dimension = rhs.shape[0]
    restart = min(dimension, 50)
    x, _ = jax.scipy.sparse.linalg.gmres(
        matvec, rhs, tol=tolerance, atol=0.0, restart=restart, maxiter=max(1, -(-max_steps // restart))
    )
    return x, jnp.linalg.norm(matvec(x) - rhs) <= 10 * tolerance * jnp.linalg.norm(rhs) + jnp.finfo(rhs.dtype).tiny
