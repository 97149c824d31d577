"""Sets about the order of entries: nondecreasing vectors, and the hull of the permutations of one."""

from __future__ import annotations

from jax import Array
from jaxtyping import ArrayLike, Float

from ..penalties.domain import row_each, vectors
from ..penalties.ordered import Isotonic, Permutahedron
from .project import project


def isotonic(x: Float[ArrayLike, "*batch n"]) -> Float[Array, "*batch n"]:
    """The projection on nondecreasing vectors: isotonic regression, in linear time.

    Args:
        x: vectors `(*batch, n)`.

    Returns:
        The mean of `x` over each run of pooled entries. Two runs with the same mean count as one.

    Example:
        >>> import jax.numpy as jnp
        >>> isotonic(jnp.array([1.0, 3.0, 2.0, 4.0]))
        Array([1. , 2.5, 2.5, 4. ], dtype=float32)

    Source: Barlow, Bartholomew, Bremner, Brunk 1972.
    """
    return project(Isotonic(), vectors(x))


def permutahedron(x: Float[ArrayLike, "*batch n"], w: Float[ArrayLike, "*#batch n"]) -> Float[Array, "*batch n"]:
    """The projection on the hull of the permutations of `w`, in `O(n log n)`.

    Args:
        x: vectors `(*batch, n)`.
        w: `(n,)` in any order; or one for each vector.

    Returns:
        Of the shape and dtype of `x`, in the order of `x`. `icg.sorting` makes soft ranks and sorts of it.

    Raises:
        ValueError: a `w` of another length.

    Example:
        >>> import jax.numpy as jnp
        >>> permutahedron(jnp.array([10.0, -10.0, 0.0]), jnp.array([1.0, 2.0, 3.0]))
        Array([3., 1., 2.], dtype=float32)

    Source: Blondel, Teboul, Berthet, Djolonga 2020.
    """
    x = vectors(x)
    return project(Permutahedron(row_each(w, "w", x, "one entry")), x)
