"""The nuclear norm: the sum of the singular values."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from ...nonsmooth import choose
from ..closed_form import closed_form
from ..penalty import AbstractPenalty
from ..rounding import snapped
from .scale import per_vector


class NuclearNorm(AbstractPenalty):
    """`g(M) = t sum_i sigma_i(M)`, with `prox(U S V^T) = U max(S - step t, 0) V^T`.

    The derivative is written with divided differences of singular values, so it is finite and right where these are
    repeated or zero. Kinks lie at `sigma_i = step t`. Tie rule: such a singular value is dropped, the smallest rank;
    where several share the kink, the part that mixes one dropped and one kept is halved.

    Second derivatives go through JAX's derivative of the SVD and need distinct, nonzero singular values.

    >>> import jax.numpy as jnp
    >>> NuclearNorm(1.0).prox(jnp.diag(jnp.array([3.0, 0.5])), 1.0).round(6).tolist()
    [[2.0, 0.0], [0.0, 0.0]]

    Source: Cai, Candès, Shen, A singular value thresholding algorithm for matrix completion, SIAM Journal on
    Optimization 2010; Candès, Sing-Long, Trzasko 2013 for the derivative.
    """

    t: Float[Array, "*batch"] | float

    def value(self, z: Float[Array, "m n"]) -> Float[Array, ""]:
        """`t sum_i sigma_i`."""
        return self.t * jnp.sum(jnp.linalg.svd(z, compute_uv=False))

    def prox(self, u: Float[Array, "*batch m n"], step: Float[Array, ""] | float) -> Float[Array, "*batch m n"]:
        """The prox; `step` is a scalar, or the same in all entries."""
        return _prox(u, per_vector(self.t, step, u, axes=2)) if u.size else u

    def invalid(self) -> Array:
        """Whether `t` is negative."""
        return jnp.any(jnp.asarray(self.t) < 0)


def _svd(M: Array) -> tuple[Array, Array, Array]:
    left, values, right = jnp.linalg.svd(M, full_matrices=False)
    return left, values, right


def _transpose(M: Array) -> Array:
    return jnp.swapaxes(M, -1, -2)


def _value(M: Array, t: Array) -> Array:
    left, values, right = _svd(M)
    return (left * jnp.maximum(values[..., None, :] - t, 0)) @ right


def _tangent(result: Array, primals: tuple, tangents: tuple) -> Array:
    """With `f(s) = max(s - t, 0)` and the quotients `(f(s_i) -+ f(s_j)) / (s_i -+ s_j)`.

    The symmetric part of `U^T dM V` is multiplied by those with `-`, the skew part by those with `+`, and what of `dM`
    leaves the span of the singular vectors by `f(s_i) / s_i`.
    """
    del result
    (M, t), (dM, dt) = primals, tangents
    left, s, right = _svd(M)
    threshold, none = t[..., 0], t == 0
    distance = snapped(jnp.abs(s - threshold), jnp.max(s, axis=-1, keepdims=True))
    distance = jnp.where(threshold == 0, jnp.inf, distance)
    kept = choose(((s > threshold) & (distance > 0) | (threshold == 0)).astype(M.dtype), distance, name="nuclear norm")
    f = jnp.maximum(s - threshold, 0)
    inner = _transpose(left) @ dM @ _transpose(right)
    square = inner.shape
    row, column = (
        (lambda v: jnp.broadcast_to(v[..., :, None], square)),
        (lambda v: jnp.broadcast_to(v[..., None, :], square)),
    )
    high, low = jnp.maximum(row(s), column(s)), jnp.minimum(row(s), column(s))
    same = row(kept) == column(kept)
    across = jnp.clip((high - t) / jnp.where(high > low, high - low, 1), 0, 1)
    mean = (row(kept) + column(kept)) / 2
    symmetric = jnp.where(same | (high == low), mean, across)
    total = row(s) + column(s)
    skew = jnp.where(none, 1, (row(f) + column(f)) / jnp.where(total > 0, total, 1))
    core = symmetric * (inner + _transpose(inner)) / 2 + skew * (inner - _transpose(inner)) / 2
    moved = left @ core @ right - (left * kept[..., None, :] * dt) @ right
    ratio = jnp.where(threshold == 0, 1, f / jnp.where(s > 0, s, 1))
    beyond = (dM - left @ (_transpose(left) @ dM)) @ _transpose(right)  # what leaves the span of the left vectors
    moved = moved + (beyond * ratio[..., None, :]) @ right
    beside = _transpose(left) @ (dM - (dM @ _transpose(right)) @ right)
    return moved + left @ (ratio[..., :, None] * beside)


_prox = closed_form(_value, _tangent)
