"""Total variation in one dimension (the fused lasso): the penalty that makes a signal piecewise constant."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from ...nonsmooth import choose
from ..closed_form import closed_form
from ..norms.scale import per_vector
from ..penalty import AbstractPenalty
from .blocks import backward, between_blocks, exact_run_mean, run_ends, run_mean, run_of, run_total
from .messages import jumps


class TotalVariation(AbstractPenalty):
    """`g(z) = t sum_i |z_{i+1} - z_i|`, for `t >= 0`.

    The prox is constant on runs, `prox(u)_B = mean(u_B) + step t (s_right - s_left) / |B|` with the signs `s` of the
    jumps at the two ends of a run (0 at the ends of the signal). Runs are found in `O(n)` by dynamic programming, the
    Jacobian in `u` is the mean over runs.

    Tie rule: a jump that is about to open is closed, and one of height zero is none: the fewest jumps. At `t = 0` the
    prox is the identity, and so is its derivative.

    >>> import jax.numpy as jnp
    >>> TotalVariation(1.0).prox(jnp.array([0.0, 0.0, 6.0, 6.0]), 1.0).tolist()
    [0.5, 0.5, 5.5, 5.5]

    Source: Johnson, A dynamic programming algorithm for the fused lasso and l0-segmentation, Journal of Computational
    and Graphical Statistics 2013.
    """

    t: Float[Array, "*batch"] | float

    def value(self, z: Float[Array, " p"]) -> Float[Array, ""]:
        """`t sum_i |z_{i+1} - z_i|`."""
        return self.t * jnp.sum(jnp.abs(jnp.diff(z)))

    def prox(self, u: Float[Array, "*batch p"], step: Float[Array, ""] | float) -> Float[Array, "*batch p"]:
        """The prox; `step` is a scalar, or the same in all coordinates."""
        if u.shape[-1] < 2:
            return u
        t = per_vector(self.t, step, u)[..., 0]
        return jnp.vectorize(lambda u, t: _piecewise(u, t)[0], signature="(n),()->(n)")(u, t)

    def invalid(self) -> Array:
        """Whether `t` is negative."""
        return jnp.any(jnp.asarray(self.t) < 0)


def _tilt(sign: Array) -> Array:
    """`s_right - s_left` of each run, at its first entry; `sign` holds the sign of the jump at each start, 0 elsewhere.

    It is spread over the runs by `run_total`, as minus the jump at the start plus the one after the end.
    """
    after = jnp.concatenate([sign[1:], jnp.zeros_like(sign[:1])])
    return after - sign


def _value(u: Array, t: Array) -> tuple[Array, Array]:
    """The prox, and the signs of its jumps."""
    sign = jumps(u, t)
    starts = (sign != 0).at[0].set(True)
    run = run_of(starts)
    size = run_total(jnp.ones_like(u), run)
    return exact_run_mean(u, starts) + t * (run_total(_tilt(sign), run) / size), sign


def _tangent(result: tuple, primals: tuple, tangents: tuple) -> tuple:
    (z, sign), (u, t) = lax.stop_gradient((result, primals))
    starts = (sign != 0).at[0].set(True)
    du, dt = tangents
    dual = jnp.cumsum(z - u) - (z - u)  # t times the sign at a jump, less inside a run
    run, place = run_of(starts), jnp.arange(u.shape[0])
    begin, end = run_ends(run, place)
    parts = 1 / jnp.maximum(place - begin, 1).astype(u.dtype) + 1 / (end - place).astype(u.dtype)
    to_open = jnp.maximum(t - jnp.abs(dual), 0) * parts
    distance = between_blocks(jnp.where(starts, jnp.abs(backward(z)), to_open), jnp.abs(u) + t * parts, z)
    distance = jnp.where(t > 0, distance, jnp.inf)
    weight = choose(((starts & (distance > 0)) | (t == 0)).astype(u.dtype), distance, name="total variation")
    open_ = weight > 0.5
    sign = jnp.where(open_, jnp.where(starts, sign, jnp.sign(dual)), 0)
    return run_mean(du + dt * _tilt(sign), open_), jnp.zeros_like(sign)


_piecewise: Any = closed_form(_value, _tangent)
