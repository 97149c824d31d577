"""Sets made of planes: hyperplanes, halfspaces, affine sets and polyhedra."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array
from jaxtyping import ArrayLike, Float

from ..base.errors import translated_errors
from ..models.polyhedron import Polyhedron
from ..penalties.domain import in_single, one_each, parameter_like, require, vectors
from ..penalties.sets import AffineSet, Halfspace, Hyperplane
from .project import project


def hyperplane(x: Float[ArrayLike, "*batch n"], a: ArrayLike, b: ArrayLike) -> Float[Array, "*batch n"]:
    """The projection on the hyperplane `{p : a^T p = b}`.

    Args:
        x: vectors `(*batch, n)`.
        a: the normal, `(n,)` or one for each vector; not zero.
        b: the offset, a number or one for each vector.

    Returns:
        `x - a (a^T x - b) / ||a||^2`.

    Raises:
        ValueError: a normal that is zero.

    Example:
        >>> import jax.numpy as jnp
        >>> hyperplane(jnp.array([1.0, 2.0]), jnp.array([0.0, 2.0]), 2.0)
        Array([1., 1.], dtype=float32)
    """
    x = vectors(x)
    return project(Hyperplane(_normal(a, x), one_each(b, "b", x)), x)


def halfspace(x: Float[ArrayLike, "*batch n"], a: ArrayLike, b: ArrayLike) -> Float[Array, "*batch n"]:
    """The projection on the halfspace `{p : a^T p <= b}`.

    Args:
        x: vectors `(*batch, n)`.
        a: the outward normal, `(n,)` or one for each vector; not zero.
        b: the offset, a number or one for each vector.

    Returns:
        `x - a max(a^T x - b, 0) / ||a||^2`.

    Raises:
        ValueError: a normal that is zero.

    Example:
        >>> import jax.numpy as jnp
        >>> halfspace(jnp.array([1.0, 2.0]), jnp.array([0.0, 2.0]), 2.0)
        Array([1., 1.], dtype=float32)
    """
    x = vectors(x)
    return project(Halfspace(_normal(a, x), one_each(b, "b", x)), x)


def affine_set(x: Float[ArrayLike, "*batch n"], A: ArrayLike, b: ArrayLike) -> Float[Array, "*batch n"]:
    """The projection on the affine set `{p : A p = b}`.

    Args:
        x: vectors `(*batch, n)`.
        A: `(e, n)`.
        b: `(e,)`.

    Returns:
        `x + A^+ (b - A x)`, the nearest point.

    Raises:
        SolveError: no point satisfies the equations; the derivative in `A` and `b` where rows are linearly dependent.
        ValueError: shapes that do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> affine_set(jnp.array([1.0, 2.0]), jnp.array([[1.0, 1.0]]), jnp.array([1.0])).round(5)
        Array([0., 1.], dtype=float32)
    """
    x = vectors(x)
    A, b = _rows(A, b, "A", "b", x)
    if len(b) > x.shape[-1]:  # some rows depend on others
        return polyhedron(x, A, b)
    return _factorised(AffineSet(A, b), x)


def polyhedron(
    x: Float[ArrayLike, "*batch n"],
    A: ArrayLike | None = None,
    b: ArrayLike | None = None,
    G: ArrayLike | None = None,
    h: ArrayLike | None = None,
) -> Float[Array, "*batch n"]:
    """The projection on the polyhedron `{p : A p = b, G p <= h}`, by the equation of a quadratic program.

    Args:
        x: vectors `(*batch, n)`.
        A: equalities `(e, n)`, with `b`; or `None`.
        b: `(e,)`.
        G: inequalities `(m, n)`, with `h`; or `None`.
        h: `(m,)`.

    Returns:
        The nearest point. Derivatives in all arguments come from the active constraints.

    Raises:
        SolveError: the polyhedron is empty; the derivative where active constraints are linearly dependent.
        ValueError: shapes that do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> polyhedron(jnp.array([1.0, 2.0]), G=jnp.eye(2), h=jnp.ones(2)).round(5)
        Array([1., 1.], dtype=float32)
    """
    x = vectors(x)
    A, b = _rows(A, b, "A", "b", x)
    G, h = _rows(G, h, "G", "h", x)
    return x if x.size == 0 else _factorised(Polyhedron(A, b, G, h), x)


def _factorised(convex_set: AffineSet | Polyhedron, x: Array) -> Array:
    with translated_errors():
        return in_single(project, convex_set, x)


def _normal(a: Any, x: Array) -> Array:
    a = parameter_like(a, "a", x)
    if a.ndim == 0 or a.shape[-1] != x.shape[-1]:
        raise ValueError(f"a has shape {a.shape}; a normal of vectors of shape {x.shape} has length {x.shape[-1]}.")
    return require(a, lambda a: (a != 0).any(-1), "a is zero: 0^T p = b holds for every p or for none; give a normal.")


def _rows(matrix: Any, vector: Any, first: str, second: str, x: Array) -> tuple[Array, Array]:
    n = x.shape[-1]
    if (matrix is None) != (vector is None):
        raise ValueError(f"{first} and {second} belong together: give both or neither.")
    if matrix is None:
        return jnp.zeros((0, n), x.dtype), jnp.zeros(0, x.dtype)
    matrix, vector = parameter_like(matrix, first, x), parameter_like(vector, second, x)
    if matrix.ndim != 2 or matrix.shape[1] != n or vector.shape != matrix.shape[:1]:
        raise ValueError(
            f"{first} has shape {matrix.shape} and {second} {vector.shape}; x with vectors of length {n} needs "
            f"{first} of shape (rows, {n}) and {second} of shape (rows,)."
        )
    return matrix, vector
