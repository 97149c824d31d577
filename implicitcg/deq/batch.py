"""What a batch of solves did, for logging and for a loss that leaves out what failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from ..core import Solution
from .regularisation import spectral_radius


class Statistics(NamedTuple):
    """Scalars of a batch of solves; they work inside `jit`, and `_asdict()` suits any logger."""

    share_converged: Float[Array, ""]
    iterations_mean: Float[Array, ""]
    iterations_max: Array
    residual_max: Float[Array, ""]
    spectral_radius: Float[Array, ""]


def statistics(solution: Solution, function: Callable[[Any], Any] | None = None) -> Statistics:
    """Share converged, iterations, the largest residual and an estimate of the spectral radius of a batch of solves.

    Args:
        solution: of `jax.vmap(lambda x: layer.solve(x, throw=False))(x)`, or of one sample.
        function: the map of the whole batch, `lambda z: jax.vmap(layer.cell)(z, x)`, for the spectral radius: the
            largest over the samples. Without it that is NaN.

    Returns:
        A `Statistics` of scalars, without derivatives.

    Example:
        >>> import jax, jax.numpy as jnp, implicitcg as icg
        >>> cell = lambda z, x: 0.5 * z + x
        >>> layer, x = icg.deq.DEQ(cell, jnp.zeros(2)), jnp.ones((3, 2))
        >>> found = icg.deq.statistics(jax.vmap(layer.solve)(x), lambda z: jax.vmap(cell)(z, x))
        >>> float(found.share_converged), round(float(found.spectral_radius), 3)
        (1.0, 0.5)
    """
    residual = lax.stop_gradient(jnp.asarray(solution.residual))
    counts = jnp.asarray(solution.iterations)
    radius = jnp.full((), jnp.nan, residual.dtype)
    if function is not None:
        radius = spectral_radius(function, lax.stop_gradient(solution.value))
    return Statistics(
        jnp.mean(jnp.asarray(solution.converged).astype(residual.dtype)),
        jnp.mean(counts.astype(residual.dtype)),
        jnp.max(counts),
        jnp.max(residual),
        lax.stop_gradient(radius),
    )


def mean_converged(losses: Float[Array, " batch"], solution: Solution) -> Float[Array, ""]:
    """The mean of `losses` over the samples that converged; NaN where none did, so that no failure passes in silence.

    A sample that failed has neither a value nor a derivative in it, whatever its numbers are.

    Args:
        losses: one a sample, `(batch,)`.
        solution: of the same samples, solved with `throw=False`.

    Example:
        >>> import jax, jax.numpy as jnp, implicitcg as icg
        >>> layer = icg.deq.DEQ(lambda z, x: 0.5 * z + x, jnp.zeros(()))
        >>> solution = jax.vmap(lambda x: layer.solve(x, throw=False))(jnp.array([1.0, jnp.nan]))
        >>> round(float(icg.deq.mean_converged(solution.value, solution)), 3)
        2.0
    """
    good = solution.converged
    if jnp.shape(losses) != jnp.shape(good):
        raise ValueError(
            f"losses has shape {jnp.shape(losses)} and the solution {jnp.shape(good)}; one loss a sample is needed."
        )
    return jnp.sum(jnp.where(good, losses, 0)) / jnp.sum(good).astype(losses.dtype)
