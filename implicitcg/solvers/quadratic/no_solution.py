"""Why a quadratic program has no solution, or more than one."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool

from ...base import while_loop
from ...equations import QP


def infeasible(problem: QP, x: Array, wanted: Array) -> tuple[Bool[Array, ""], Array, Array]:
    """Whether the least violation `min_x ||A x - b||^2 + ||max(G x - h, 0)||^2` is positive; looked for if `wanted`.

    With it a proof `(y, z)` of length one, finite also where there is none. At the minimum
    the violations `y = A x - b`, `z = max(G x - h, 0)` satisfy `A^T y + G^T z = 0` and `b^T y + h^T z = -||(y, z)||^2`:
    by Farkas' lemma they prove infeasibility. Found by semismooth Newton from `x`.
    """
    A, G = problem.A, problem.G
    rounding = float(jnp.finfo(x.dtype).eps)

    def violations(x: Array) -> Array:
        return jnp.concatenate([A @ x - problem.b, jnp.maximum(G @ x - problem.h, 0)])

    def gradient(x: Array) -> Array:
        v = violations(x)
        return A.T @ v[: A.shape[0]] + G.T @ v[A.shape[0] :]

    def proved(x: Array) -> Array:
        return jnp.max(jnp.abs(gradient(x)), initial=0.0) <= rounding**0.5 * jnp.linalg.norm(violations(x))

    def step(state: tuple[Array, Array]) -> tuple[Array, Array]:
        x, steps = state
        violated = jnp.where((G @ x > problem.h)[:, None], G, 0)
        matrix = A.T @ A + violated.T @ violated
        ridge = 1e3 * rounding * (1 + jnp.trace(matrix)) * jnp.eye(x.shape[0], dtype=x.dtype)
        d = -jnp.linalg.solve(matrix + ridge, gradient(x))
        lengths = 0.5 ** jnp.arange(20, dtype=x.dtype)
        sizes = jax.vmap(lambda t: jnp.linalg.norm(violations(x + t * d)))(lengths)
        return x + lengths[jnp.argmin(sizes)] * d, steps + 1

    def unfinished(state: tuple[Array, Array]) -> Array:
        return wanted & ~proved(state[0]) & (state[1] < 100)

    x, _ = while_loop(unfinished, step, (x, jnp.zeros((), jnp.int32)))
    data = jnp.concatenate([problem.b, problem.h, jnp.ones(1, x.dtype)])
    v = violations(x)
    size = jnp.linalg.norm(v)
    v = v / jnp.where(size > 0, size, 1)
    return proved(x) & (size > rounding**0.5 * jnp.max(jnp.abs(data))), v[: A.shape[0]], v[A.shape[0] :]


def unbounded(problem: QP, x: Array) -> tuple[Bool[Array, ""], Array]:
    """Whether `x` is on a ray with `P x = 0`, `A x = 0`, `G x <= 0`, `q^T x < 0`, to `eps^{1/3}`, and its direction."""
    size = jnp.linalg.norm(x)
    x = x / jnp.where(size > 0, size, 1)
    slope = problem.q @ x
    bend = jnp.max(jnp.abs(jnp.concatenate([problem.P @ x, problem.A @ x, jnp.maximum(problem.G @ x, 0)])), initial=0.0)
    return (slope < 0) & (bend <= _loose(size) * jnp.abs(slope)), x


def unique(problem: QP, z: Any, wanted: Array) -> Bool[Array, ""]:
    """Whether no direction is flat for the objective and the active constraints: `P + A^T A + G_S^T G_S > 0`.

    Necessary for uniqueness, with weakly active constraints counted as active; judged on the scaled matrix, which is
    the identity unless `wanted`.
    """
    x, _, v = z
    tolerance = float(jnp.finfo(x.dtype).eps) ** 0.75
    active = v <= tolerance * (1 + jnp.abs(problem.h))
    G = jnp.where(active[:, None], problem.G, 0)
    matrix = jnp.where(wanted, problem.P + problem.A.T @ problem.A + G.T @ G, jnp.eye(x.shape[0], dtype=x.dtype))
    diagonal = jnp.diagonal(matrix)
    scale = 1 / jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1))
    scaled = matrix * scale[:, None] * scale[None, :]
    smallest = jnp.linalg.eigvalsh(scaled, symmetrize_input=False)[0]
    return smallest > 10 * x.shape[0] * jnp.finfo(x.dtype).eps


def _loose(like: Array) -> float:
    return float(jnp.finfo(like.dtype).eps) ** (1 / 3)
