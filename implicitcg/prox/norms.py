"""Norms of whole vectors and matrices."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array
from jaxtyping import ArrayLike, Float, Int

from ..base.labels import groups as group_labels
from ..penalties import GroupL2
from ..penalties.domain import in_single, matrices, parameter_like, vectors
from ..penalties.norms import L2, LInf, NuclearNorm
from .strength import at_strength, nonnegative_strength, with_strength


def l2(x: Float[ArrayLike, "*batch n"], t: Float[ArrayLike, "*batch"]) -> Float[Array, "*batch n"]:
    """`max(1 - t / ||x||, 0) x`: the prox of `t ||p||`.

    Args:
        x: vectors `(*batch, n)`.
        t: threshold `>= 0`, one number, or one for each vector.

    Returns:
        Of the shape and dtype of `x`. At `||x|| = t > 0` the derivative is 0; where `t = 0` the map is the identity.

    Raises:
        ValueError: a negative threshold, or a wrong shape.

    Example:
        >>> import jax.numpy as jnp
        >>> l2(jnp.array([3.0, 4.0]), 2.5)
        Array([1.5, 2. ], dtype=float32)
    """
    x, t = with_strength(vectors(x), t)
    return at_strength(L2(t), x)


def linf(x: Float[ArrayLike, "*batch n"], t: Float[ArrayLike, "*batch"]) -> Float[Array, "*batch n"]:
    """`x` cut at a level that takes `t` off in all, or 0: the prox of `t max_j |p_j|`.

    Args:
        x: vectors `(*batch, n)`.
        t: strength `>= 0`, one number, or one for each vector.

    Returns:
        Of the shape and dtype of `x`; 0 where `sum_j |x_j| <= t`. An entry at the level is not cut.

    Raises:
        ValueError: a negative strength, or a wrong shape.

    Example:
        >>> import jax.numpy as jnp
        >>> linf(jnp.array([3.0, -2.0, 0.5]), 2.0)
        Array([ 1.5, -1.5,  0.5], dtype=float32)
    """
    x, t = with_strength(vectors(x), t)
    return at_strength(LInf(t), x)


def group_l2(
    x: Float[ArrayLike, "*batch n"], t: Float[ArrayLike, "*g"], groups: Int[ArrayLike, " n"]
) -> Float[Array, "*batch n"]:
    """`max(1 - t_g / ||x_g||, 0) x_g` for each group: the prox of `sum_g t_g ||p_g||`.

    Args:
        x: vectors `(*batch, n)`.
        t: threshold `>= 0`, one number or one per group. Multiply by the square root of the sizes for the penalty of
            `icg.group_lasso`.
        groups: the label of each entry's group, consecutive integers `(n,)`; concrete.

    Returns:
        Of the shape and dtype of `x`. A group with `||x_g|| = t_g > 0` has derivative 0.

    Raises:
        ValueError: a negative threshold, wrong shapes, labels that are no integers or leave a group empty.
        TypeError: traced labels.

    Example:
        >>> import jax.numpy as jnp
        >>> group_l2(jnp.array([3.0, 4.0, 1.0]), 2.5, [0, 0, 1])
        Array([1.5, 2. , 0. ], dtype=float32)

    Source: Yuan, Lin 2006.
    """
    x = vectors(x)
    if not x.shape[-1]:
        return x
    labels, sizes = group_labels(groups, x.shape[-1])
    t = nonnegative_strength(parameter_like(t, "t", x))
    if t.shape not in ((), sizes.shape):
        raise ValueError(f"t has shape {t.shape}; a number, or one per group, shape {sizes.shape}, is needed.")
    return at_strength(GroupL2(t, labels, jnp.ones(sizes.shape, x.dtype)), x)


def nuclear_norm(M: Float[ArrayLike, "*batch m n"], t: Float[ArrayLike, "*batch"]) -> Float[Array, "*batch m n"]:
    """Soft thresholding of the singular values: the prox of `t` times their sum.

    Args:
        M: matrices `(*batch, m, n)`.
        t: threshold `>= 0`, one number, or one for each matrix.

    Returns:
        Of the shape and dtype of `M`. Derivatives are finite and right with repeated and with zero singular values;
        second derivatives need distinct, nonzero ones.

    Raises:
        ValueError: a negative threshold, or a wrong shape.

    Example:
        >>> import jax.numpy as jnp
        >>> nuclear_norm(jnp.array([[0.0, 3.0], [0.5, 0.0]]), 1.0).round(4)
        Array([[0., 2.],
               [0., 0.]], dtype=float32)

    Source: Cai, Candès, Shen 2010.
    """
    M, t = with_strength(matrices(M), t, axes=2)
    return in_single(at_strength, NuclearNorm(t), M)
