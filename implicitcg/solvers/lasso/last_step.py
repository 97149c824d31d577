"""The end of the search: one Newton step with the exact gradient, the factor for the derivative, and the verdict."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from ...base import Status
from ...core import Found
from ...equations import Composite
from .quadratic_loss import QuadraticLoss, relative_gap


class Known(NamedTuple):
    """Features, padded by `p`, and their Gram matrix in units of diagonal one, for the factor at the end."""

    feature: Int[Array, " c"]
    gram: Float[Array, "c c"]

    @classmethod
    def nothing(cls, size: int, like: Float[Array, " p"]) -> Known:
        """Room for `size` features."""
        return cls(jnp.full(size, like.shape[0], jnp.int32), jnp.zeros((size, size), like.dtype))

    def block(self, loss: QuadraticLoss, index: Int[Array, " k"]) -> Float[Array, "k k"]:
        """The Hessian on features all of which are known; NaN where one is not."""
        p = loss.unit.shape[0]
        place = jnp.full(p, len(self.feature), jnp.int32)
        place = place.at[self.feature].set(jnp.arange(len(self.feature), dtype=jnp.int32), mode="drop")[index]
        scaled = jnp.take(jnp.take(self.gram, place, axis=0, mode="fill"), place, axis=1, mode="fill")
        return scaled / (loss.unit[index][:, None] * loss.unit[index][None, :])


def finish(
    problem: Composite,
    loss: QuadraticLoss,
    tolerance: float,
    capacity: int,
    w: Float[Array, " p"],
    gradient: Float[Array, " p"],
    value: Float[Array, ""],
    iterations: Int[Array, ""],
    block: Callable[[Int[Array, " c"]], Float[Array, "c c"]] | None = None,
) -> Found:
    """One Newton step with the exact gradient on the face found, the factor for the derivative, and the verdict.

    The step is kept if it changes no sign and helps. `gradient` and `value` are those of `loss` at `w`, and `block`
    gives the Hessian on features free or on their threshold, where it is known already.
    """

    def defect(w: Array, gradient: Array) -> Array:
        return jnp.where(w != 0, gradient + loss.threshold * jnp.sign(w), 0)

    before = defect(w, gradient)
    memory, step = problem.factorise(w, gradient - loss.shrunk(w), block, before)
    polished = w - step
    after = loss.gradient(polished)
    better = jnp.all(jnp.sign(polished) == jnp.sign(w)) & memory.healthy
    better = better & (jnp.max(jnp.abs(defect(polished, after))) <= jnp.max(jnp.abs(before)))
    w, gradient = jnp.where(better, polished, w), jnp.where(better, after, gradient)
    value = jnp.where(better, loss.value(polished), value)

    gap = relative_gap(loss, w, gradient, value)
    status = Status.where(gap <= tolerance, Status.converged, Status.not_converged)
    if capacity < w.shape[0]:
        crowded = (status != Status.converged) & (jnp.sum(w != 0) >= capacity // 2)
        status = Status.where(crowded, Status.over_capacity, status)
    unpinned = jnp.any(loss.threshold == 0) & ~memory.healthy
    status = Status.where(unpinned, Status.not_unique, status)
    return Found(w, status, iterations, memory, gap)
