"""Functions of the eigenvalues of a symmetric matrix, with a derivative that is finite at repeated eigenvalues."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from . import primitives
from .native import piece


def spectral(
    function: Callable[[Float[Array, " n"]], Float[Array, " n"]], S: Float[Array, "*batch n n"]
) -> Float[Array, "*batch n n"]:
    """Return `U f(L) U^T` for a symmetric `S = U L U^T`.

    The derivative in the direction `H` is `U (T o (U^T H U)) U^T` with the divided differences
    `T_ij = (f(l_i) - f(l_j)) / (l_i - l_j)` and `f'` where eigenvalues agree: finite where JAX's derivative of `eigh`
    is NaN, and equal to the smooth derivative there. At a kink of `f` that several eigenvalues share, `T` is the mean
    of the two slopes, the limit along matrices that move these eigenvalues by equal amounts.

    Arguments:
        function: acts entry by entry on eigenvalues; its own rule is used at its kinks.
        S: symmetric; only its symmetric part is read. Leading axes are batched.

    Second derivatives need distinct eigenvalues.

    >>> import jax.numpy as jnp
    >>> spectral(jnp.exp, jnp.zeros((2, 2))).tolist()
    [[1.0, 0.0], [0.0, 1.0]]

    Source: Daleckii, Krein (1965); Bhatia, Matrix Analysis, theorem V.3.3.
    """

    def value(S):
        values, vectors = _eigh(S)
        return _conjugate(vectors, _diagonal(function(values)))

    def derivative(primals, tangents):
        ((S,), (dS,)) = primals, tangents
        values, vectors = _eigh(S)
        inner = _transpose(vectors) @ ((dS + _transpose(dS)) / 2) @ vectors
        return _conjugate(vectors, _divided_differences(function, values) * inner)

    return piece(value, derivative)(jnp.asarray(S))


def psd_part(S: Float[Array, "*batch n n"], tie: float = 0.0) -> Float[Array, "*batch n n"]:
    """The projection of a symmetric matrix on the positive semidefinite cone; `tie` in [0, 1] at zero eigenvalues.

    >>> import jax, jax.numpy as jnp
    >>> jax.jvp(psd_part, (jnp.eye(2),), (jnp.ones((2, 2)),))[1].tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    return spectral(lambda values: primitives.positive_part(values, tie), S)


def _eigh(S: Array) -> tuple[Array, Array]:
    values, vectors = jnp.linalg.eigh((S + _transpose(S)) / 2, symmetrize_input=False)
    return values, vectors


def _transpose(S: Array) -> Array:
    return jnp.swapaxes(S, -1, -2)


def _diagonal(values: Array) -> Array:
    return values[..., None] * jnp.eye(values.shape[-1], dtype=values.dtype).reshape(
        (1,) * (values.ndim - 1) + (values.shape[-1], values.shape[-1])
    )


def _conjugate(vectors: Array, middle: Array) -> Array:
    return vectors @ middle @ _transpose(vectors)


def _divided_differences(function: Callable[[Array], Array], values: Array) -> Array:
    """Difference quotients, and the mean of the slopes for eigenvalues that are close and on the same piece.

    With `h` the relative distance, the quotient loses `eps / h` to rounding and the mean of the slopes is wrong by
    `h^2`: they cross at `h = eps^(1/3)`. Across a kink the slopes differ, and the quotient is right.
    """
    images, slopes = jax.jvp(function, (values,), (jnp.ones_like(values),))
    n = values.shape[-1]
    square = (*values.shape[:-1], n, n)
    row, column = (
        (lambda v: jnp.broadcast_to(v[..., :, None], square)),
        (lambda v: jnp.broadcast_to(v[..., None, :], square)),
    )
    step, rise = row(values) - column(values), row(images) - column(images)
    mean = (row(slopes) + column(slopes)) / 2
    width = jnp.finfo(values.dtype).eps ** (1 / 3)
    size = jnp.broadcast_to(jnp.abs(values).max(-1, initial=0.0)[..., None, None], square)
    same_piece = jnp.abs(row(slopes) - column(slopes)) <= 100 * width * (1 + jnp.abs(mean))
    close = (jnp.abs(step) <= width * size) & same_piece
    return jnp.where(close | (step == 0), mean, rise / jnp.where(step == 0, jnp.ones_like(step), step))
