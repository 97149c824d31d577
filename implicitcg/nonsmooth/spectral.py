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

    Second derivatives are right at repeated eigenvalues too, where `function` is smooth; third ones are NaN there.

    >>> import jax.numpy as jnp
    >>> spectral(jnp.exp, jnp.zeros((2, 2))).tolist()
    [[1.0, 0.0], [0.0, 1.0]]

    Source: Daleckii, Krein (1965); Bhatia, Matrix Analysis, theorem V.3.3.
    """

    def value(S):
        vectors, block = _eigen(S)
        return _conjugate(vectors, _diagonal(function(_main(block))))

    def derivative(primals, tangents):
        ((S,), (dS,)) = primals, tangents
        vectors, block = _eigen(S)
        values = _main(block)
        first, repeated = _divided_differences(function, values)
        inner = _transpose(vectors) @ _symmetric(dS) @ vectors
        # zero now; what becomes of it when eigenvalues that agree are moved apart
        mixing = block - _diagonal(values)
        turned = (repeated * inner) @ mixing
        return _conjugate(vectors, first * inner + turned + mixing @ (_transpose(repeated) * inner))

    return piece(value, derivative)(jnp.asarray(S))


def psd_part(S: Float[Array, "*batch n n"], tie: float = 0.0) -> Float[Array, "*batch n n"]:
    """The projection of a symmetric matrix on the positive semidefinite cone; `tie` in [0, 1] at zero eigenvalues.

    >>> import jax, jax.numpy as jnp
    >>> jax.jvp(psd_part, (jnp.eye(2),), (jnp.ones((2, 2)),))[1].tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    return spectral(lambda values: primitives.positive_part(values, tie), S)


@jax.custom_jvp
def _eigen(S: Array) -> tuple[Array, Array]:
    """`U` and `L` with `S = U L U^T`, where `L` is diagonal, but its derivative is full among eigenvalues that agree.

    Vectors of different eigenvalues turn into each other, those of one eigenvalue do not: how they would have to is
    not known, and not needed. Agreeing is judged up to `eps^{1/2}`.
    """
    values, vectors = jnp.linalg.eigh(_symmetric(S), symmetrize_input=False)
    return vectors, _diagonal(values)


@_eigen.defjvp
def _eigen_rule(primals: tuple, tangents: tuple) -> tuple:
    (S,), (dS,) = primals, tangents
    vectors, block = _eigen(S)
    values = _main(block)
    gap = values[..., None, :] - values[..., :, None]
    size = jnp.abs(values).max(-1, initial=0.0)[..., None, None]
    apart = jnp.abs(gap) > float(jnp.finfo(values.dtype).eps) ** 0.5 * jnp.broadcast_to(size, gap.shape)
    unknown = ~apart & ~jnp.eye(gap.shape[-1], dtype=bool).reshape((1,) * (gap.ndim - 2) + gap.shape[-2:])
    frame = _known_once(vectors, unknown.any((-2, -1)).astype(vectors.dtype)[..., None, None])
    inner = _transpose(frame) @ _symmetric(dS) @ frame
    turned = frame @ (jnp.where(apart, 1 / jnp.where(apart, gap, jnp.ones_like(gap)), jnp.zeros_like(gap)) * inner)
    return (vectors, block), (turned, jnp.where(apart, jnp.zeros_like(inner), inner))


def _keep(primals: tuple, tangents: tuple) -> Array:
    _, flag = primals
    return jnp.where(flag > 0, jnp.nan, jnp.ones_like(flag)) * tangents[0]


# the first argument; its derivative is NaN, for it is not known, where the second is 1
_known_once = piece(lambda x, flag: x, _keep)


def _symmetric(S: Array) -> Array:
    return (S + _transpose(S)) / 2


def _main(block: Array) -> Array:
    return jnp.diagonal(block, axis1=-2, axis2=-1)


def _transpose(S: Array) -> Array:
    return jnp.swapaxes(S, -1, -2)


def _diagonal(values: Array) -> Array:
    return values[..., None] * jnp.eye(values.shape[-1], dtype=values.dtype).reshape(
        (1,) * (values.ndim - 1) + (values.shape[-1], values.shape[-1])
    )


def _conjugate(vectors: Array, middle: Array) -> Array:
    return vectors @ middle @ _transpose(vectors)


def _divided_differences(function: Callable[[Array], Array], values: Array) -> tuple[Array, Array]:
    """`f[l_i, l_j]`, difference quotients or slopes, and `f[l_i, l_j, l_j]`.

    Slopes are taken for eigenvalues that are close and on the same piece. With `h` the relative distance, the quotient
    loses `eps / h` to rounding and the mean of the slopes is wrong by `h^2`: they cross at `h = eps^(1/3)`. Across a
    kink the slopes differ, and the quotient is right.
    """

    def slope(values: Array) -> tuple[Array, Array]:
        return jax.jvp(function, (values,), (jnp.ones_like(values),))

    (images, slopes), (_, bends) = jax.jvp(slope, (values,), (jnp.ones_like(values),))
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
    close = (jnp.abs(step) <= width * size) & same_piece | (step == 0)
    some = jnp.where(close, jnp.ones_like(step), step)
    first = jnp.where(close, mean, rise / some)
    return first, jnp.where(close, (row(bends) + column(bends)) / 4, (first - column(slopes)) / some)
