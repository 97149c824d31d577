"""Euclidean projections on convex sets (`icg.projections`): exact, and differentiable in every argument at every point.

Vectors lie along the last axis; leading axes are a batch, and a parameter is one for all or one for each. Where the
projection has a kink, the derivative is the one of the smallest face (see each set), and `icg.kinks`,
`icg.conservative_jacobian` and `icg.certify` know the others. `docs/projections.md` has them all in a table.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import ArrayLike, Float

from .base.checks import floating
from .nonsmooth import psd_part
from .penalties.cones import Exponential, Nonnegative, Power, SecondOrder
from .penalties.domain import like as _like
from .penalties.domain import matrices as _matrices
from .penalties.domain import one_each as _parameter
from .penalties.domain import require, row_each
from .penalties.domain import vectors as _vectors
from .penalties.ordered import Isotonic, Permutahedron
from .penalties.sets import (
    AbstractSet,
    Birkhoff,
    Box,
    BoxSection,
    CappedSimplex,
    Halfspace,
    Hyperplane,
    L1Ball,
    L2Ball,
    Simplex,
    Transport,
)
from .problems.polyhedron import Polyhedron


def simplex(x: Float[ArrayLike, "*batch n"], radius: Float[ArrayLike, "*batch"] = 1.0) -> Float[Array, "*batch n"]:
    """The projection on the simplex `{p : p_j >= 0, sum_j p_j = radius}`.

    Args:
        x: vectors `(*batch, n)`.
        radius: the sum, `>= 0`; one number, or one for each vector.

    Returns:
        `max(x - tau, 0)`, of the shape and dtype of `x`.

    Raises:
        ValueError: a negative radius, or `n = 0` with a positive one (the set is empty).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> simplex(jnp.array([0.5, 1.0, -1.0]))
        Array([0.25, 0.75, 0.  ], dtype=float32)
        >>> jax.jacobian(simplex, 1)(jnp.array([0.5, 1.0, -1.0]), jnp.float32(1.0))
        Array([0.5, 0.5, 0. ], dtype=float32)

    Source: Michelot 1986; Condat 2016.
    """
    x = _vectors(x)
    radius = _radius(radius, x)
    if x.shape[-1] == 0:
        require(
            radius, lambda r: r == 0, "x has no entries: no vector of length 0 has a positive sum, the set is empty."
        )
    return _project(Simplex(radius), x)


def l1_ball(x: Float[ArrayLike, "*batch n"], radius: Float[ArrayLike, "*batch"] = 1.0) -> Float[Array, "*batch n"]:
    """The projection on the l1 ball `{p : sum_j |p_j| <= radius}`.

    Args:
        x: vectors `(*batch, n)`.
        radius: `>= 0`; one number, or one for each vector.

    Returns:
        `x` inside, `sign(x) max(|x| - tau, 0)` outside.

    Raises:
        ValueError: a negative radius.

    Example:
        >>> import jax.numpy as jnp
        >>> l1_ball(jnp.array([0.5, -1.0, 0.0]))
        Array([ 0.25, -0.75,  0.  ], dtype=float32)

    Source: Duchi, Shalev-Shwartz, Singer, Chandra, ICML 2008.
    """
    x = _vectors(x)
    return _project(L1Ball(_radius(radius, x)), x)


def l2_ball(x: Float[ArrayLike, "*batch n"], radius: Float[ArrayLike, "*batch"] = 1.0) -> Float[Array, "*batch n"]:
    """The projection on the Euclidean ball `{p : ||p|| <= radius}`.

    Args:
        x: vectors `(*batch, n)`.
        radius: `>= 0`; one number, or one for each vector.

    Returns:
        `x` inside, `radius x / ||x||` outside.

    Raises:
        ValueError: a negative radius.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> jax.jacobian(l2_ball)(jnp.zeros(2), 0.0)
        Array([[0., 0.],
               [0., 0.]], dtype=float32)
    """
    x = _vectors(x)
    return _project(L2Ball(_radius(radius, x)), x)


def box(x: Float[ArrayLike, "*batch n"], lower: ArrayLike, upper: ArrayLike) -> Float[Array, "*batch n"]:
    """The projection on the box `{p : lower <= p <= upper}`.

    Args:
        x: vectors `(*batch, n)`.
        lower: bounds that broadcast to the shape of `x`; infinite ones are none.
        upper: the same; `lower = upper` fixes a coordinate.

    Returns:
        `min(max(x, lower), upper)`.

    Raises:
        ValueError: some `lower > upper` (the set is empty).

    Example:
        >>> import jax.numpy as jnp
        >>> box(jnp.array([0.5, 2.0, -1.0]), 0.0, 1.0)
        Array([0.5, 1. , 0. ], dtype=float32)
    """
    x = _vectors(x)
    lower, upper = _bounds(x, lower, upper)
    return _project(Box(lower, upper), x)


def nonnegative(x: Float[ArrayLike, "*batch n"]) -> Float[Array, "*batch n"]:
    """The projection on the nonnegative orthant, `max(x, 0)`.

    Example:
        >>> import jax.numpy as jnp
        >>> nonnegative(jnp.array([1.0, -2.0]))
        Array([1., 0.], dtype=float32)
    """
    return _project(Nonnegative(), _vectors(x))


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
    x = _vectors(x)
    return _project(Hyperplane(_normal(a, x), _parameter(b, "b", x)), x)


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
    x = _vectors(x)
    return _project(Halfspace(_normal(a, x), _parameter(b, "b", x)), x)


def affine_set(x: Float[ArrayLike, "*batch n"], A: ArrayLike, b: ArrayLike) -> Float[Array, "*batch n"]:
    """The projection on the affine set `{p : A p = b}`, by the equation of a quadratic program.

    Args:
        x: vectors `(*batch, n)`.
        A: `(e, n)` with linearly independent rows.
        b: `(e,)`.

    Returns:
        The nearest point.

    Raises:
        SolveError: no point satisfies the equations; the derivative where rows are linearly dependent.

    Example:
        >>> import jax.numpy as jnp
        >>> affine_set(jnp.array([1.0, 2.0]), jnp.array([[1.0, 1.0]]), jnp.array([1.0])).round(5)
        Array([0., 1.], dtype=float32)
    """
    return polyhedron(x, A, b, None, None)


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
    x = _vectors(x)
    n = x.shape[-1]
    A, b = _rows(A, b, "A", "b", x)
    G, h = _rows(G, h, "G", "h", x)
    return x if n == 0 else _project(Polyhedron(A, b, G, h), x)


def capped_simplex(x: Float[ArrayLike, "*batch n"], total: Float[ArrayLike, "*batch"]) -> Float[Array, "*batch n"]:
    """The projection on the capped simplex `{p : 0 <= p_j <= 1, sum_j p_j = total}`: a soft choice of `total` items.

    Args:
        x: vectors `(*batch, n)`.
        total: in `[0, n]`; one number, or one for each vector.

    Returns:
        `clip(x + tau, 0, 1)`.

    Raises:
        ValueError: a total outside `[0, n]` (the set is empty).

    Example:
        >>> import jax.numpy as jnp
        >>> capped_simplex(jnp.array([3.0, 0.5, 0.25]), 2.0)
        Array([1.   , 0.625, 0.375], dtype=float32)
    """
    x = _vectors(x)
    n = x.shape[-1]
    total = require(
        _parameter(total, "total", x),
        lambda t: (t >= 0) & (t <= n),
        f"total must lie between 0 and n = {n}: {n} entries of at most 1 have no other sums, the set is empty.",
    )
    return _project(CappedSimplex(total), x)


def box_section(
    x: Float[ArrayLike, "*batch n"], lower: ArrayLike, upper: ArrayLike, w: ArrayLike, c: ArrayLike
) -> Float[Array, "*batch n"]:
    """The projection on the section `{p : lower <= p <= upper, w^T p = c}` of a box.

    Args:
        x: vectors `(*batch, n)`.
        lower: bounds that broadcast to the shape of `x`; infinite ones are none.
        upper: the same.
        w: weights of any sign, that broadcast to the shape of `x`.
        c: what the weighted sum must be; one number, or one for each vector.

    Returns:
        `clip(x + tau w, lower, upper)`.

    Raises:
        ValueError: some `lower > upper`, or a `c` that no point of the box has (the set is empty), up to rounding.

    Example:
        >>> import jax.numpy as jnp
        >>> box_section(jnp.array([2.0, 0.5, 0.25]), 0.0, 1.0, jnp.ones(3), 1.5)
        Array([1.   , 0.375, 0.125], dtype=float32)

    Source: Brucker 1984; Pardalos, Kovoor 1990, for the singly constrained quadratic program.
    """
    x = _vectors(x)
    lower, upper = _bounds(x, lower, upper)
    w = jnp.broadcast_to(_like(w, "w", x), x.shape)
    eps = float(jnp.finfo(x.dtype).eps)

    def attained(c: Any, lower: Any, upper: Any, w: Any) -> Any:
        xp: Any = np if isinstance(c, np.ndarray) else jnp
        first, second = xp.where(w == 0, 0, w * lower), xp.where(w == 0, 0, w * upper)
        least, most = xp.minimum(first, second).sum(-1), xp.maximum(first, second).sum(-1)
        sizes = [xp.where(xp.isfinite(part), abs(part), 0).sum(-1) for part in (first, second)]
        room = 4 * eps * x.shape[-1] * (abs(c) + sizes[0] + sizes[1])
        return (c >= least - room) & (c <= most + room)

    c = require(
        jnp.broadcast_to(_parameter(c, "c", x), x.shape[:-1]),
        attained,
        "c lies outside the values of w^T p on the box: the section is empty. Between its bounds, w^T p goes from "
        "sum(min(w lower, w upper)) to sum(max(w lower, w upper)).",
        lower,
        upper,
        w,
    )
    return _project(BoxSection(lower, upper, w, c), x)


def second_order_cone(x: Float[ArrayLike, "*batch n"]) -> Float[Array, "*batch n"]:
    """The projection on the second-order cone `{(t, v) : ||v|| <= t}`, with `t` the first entry.

    Example:
        >>> import jax.numpy as jnp
        >>> second_order_cone(jnp.array([1.0, 3.0, 4.0])).round(5)
        Array([3. , 1.8, 2.4], dtype=float32)
    """
    x = _vectors(x)
    if x.shape[-1] == 0:
        raise ValueError("x has no entries; a vector of the second-order cone has at least its height t.")
    return _project(SecondOrder(x.shape[-1]), x)


def psd_cone(S: Float[ArrayLike, "*batch n n"]) -> Float[Array, "*batch n n"]:
    """The projection on the symmetric positive semidefinite matrices: the eigenvalues made nonnegative.

    Args:
        S: symmetric, to within rounding.

    Returns:
        A symmetric matrix. Repeated eigenvalues are no kink; zero ones are, and stay zero.

    Raises:
        ValueError: a matrix that is not square or not symmetric.

    Example:
        >>> import jax.numpy as jnp
        >>> psd_cone(jnp.array([[1.0, 2.0], [2.0, -2.0]])).round(5)
        Array([[1.6, 0.8],
               [0.8, 0.4]], dtype=float32)

    Source: Higham 1988; Sun, Sun, Semismooth matrix-valued functions, 2002, for its Jacobians.
    """
    S = floating(S, "S")
    if S.ndim < 2 or S.shape[-1] != S.shape[-2]:
        raise ValueError(f"S has shape {S.shape}; a square matrix, or a batch of them, is needed.")
    room = float(jnp.finfo(S.dtype).eps) ** 0.75

    def symmetric(S: Any) -> Any:
        size = abs(S).max(axis=(-2, -1), keepdims=True, initial=0.0)
        return ~(abs(S - S.swapaxes(-2, -1)) > room * size)

    S = require(
        S, symmetric, "S is not symmetric; the cone holds symmetric matrices. Pass (S + S.T) / 2 if that is meant."
    )
    return _semidefinite(S)


def exponential_cone(x: Float[ArrayLike, "*batch 3"]) -> Float[Array, "*batch 3"]:
    """The projection on the closure of `{(x, y, z) : y > 0, y exp(x / y) <= z}`.

    Example:
        >>> import jax.numpy as jnp
        >>> exponential_cone(jnp.array([1.0, 1.0, 1.0])).round(4)
        Array([0.4263, 0.7517, 1.3254], dtype=float32)

    Source: Friberg 2023.
    """
    return _project(Exponential(), _vectors(x))


def power_cone(x: Float[ArrayLike, "*batch 3"], a: ArrayLike) -> Float[Array, "*batch 3"]:
    """The projection on `{(x, y, z) : x^a y^{1-a} >= |z|, x, y >= 0}`.

    Args:
        x: vectors `(*batch, 3)`.
        a: the exponent, strictly between 0 and 1.

    Returns:
        The nearest point, differentiable in `x` and in `a`.

    Raises:
        ValueError: an exponent outside the interval.

    Example:
        >>> import jax.numpy as jnp
        >>> power_cone(jnp.array([0.0, 0.0, 3.0]), 0.5).round(4)
        Array([1., 1., 1.], dtype=float32)

    Source: Hien 2015.
    """
    x = _vectors(x)
    return _project(Power(floating(a, "a", x.dtype)), x)


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
    return _project(Isotonic(), _vectors(x))


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
    x = _vectors(x)
    return _project(Permutahedron(row_each(w, "w", x, "one entry")), x)


def transport(
    M: Float[ArrayLike, "*batch m n"], row_sums: ArrayLike, column_sums: ArrayLike
) -> Float[Array, "*batch m n"]:
    """The projection on the transport polytope `{P >= 0, P 1 = row_sums, P^T 1 = column_sums}`: exact, no entropy.

    Args:
        M: matrices `(*batch, m, n)` with `m + n <= 2000`.
        row_sums: `(m,)`, nonnegative; or one for each matrix.
        column_sums: `(n,)`, nonnegative, with the same total.

    Returns:
        The nearest matrix. Derivatives in the sums are along changes that keep the two totals equal.

    Raises:
        ValueError: negative sums, different totals (the set is empty), more than 2000 rows and columns.

    Example:
        >>> import jax.numpy as jnp
        >>> transport(jnp.eye(2), jnp.array([1.0, 2.0]), jnp.array([1.5, 1.5])).round(4)
        Array([[1. , 0. ],
               [0.5, 1.5]], dtype=float32)
    """
    M = _matrices(M)
    rows, columns = _like(row_sums, "row_sums", M), _like(column_sums, "column_sums", M)
    rows, columns = _sums(rows, "row_sums", M, -2), _sums(columns, "column_sums", M, -1)
    room = 4 * sum(M.shape[-2:]) * float(jnp.finfo(M.dtype).eps)
    rows = require(
        rows,
        lambda r, c: abs(r.sum(-1) - c.sum(-1)) <= room * abs(r.sum(-1)),
        "row_sums and column_sums have different totals: both are the sum of all entries, so the set is empty. Divide "
        "each by its total.",
        columns,
    )
    return _project(Transport(rows, columns), M)


def birkhoff(M: Float[ArrayLike, "*batch n n"]) -> Float[Array, "*batch n n"]:
    """The projection on the doubly stochastic matrices `{P >= 0, P 1 = 1, P^T 1 = 1}`: exact, no entropy.

    Args:
        M: square matrices `(*batch, n, n)` with `n <= 1000`.

    Returns:
        The nearest matrix.

    Raises:
        ValueError: a matrix that is not square, or is too large.

    Example:
        >>> import jax.numpy as jnp
        >>> birkhoff(jnp.array([[1.0, 0.0], [0.0, 0.0]]))
        Array([[0.75, 0.25],
               [0.25, 0.75]], dtype=float32)
    """
    M = _matrices(M)
    if M.shape[-1] != M.shape[-2]:
        raise ValueError(f"M has shape {M.shape}; doubly stochastic matrices are square.")
    return _project(Birkhoff(), M)


@jax.jit
def _project(convex_set: AbstractSet, x: Array) -> Array:
    return convex_set.project(x)


@jax.jit
def _semidefinite(S: Array) -> Array:
    return psd_part(S)


def _radius(radius: Any, x: Array) -> Array:
    return require(
        _parameter(radius, "radius", x), lambda r: r >= 0, "radius is negative; the radius of a set is at least 0."
    )


def _bounds(x: Array, lower: Any, upper: Any) -> tuple[Array, Array]:
    lower, upper = (jnp.broadcast_to(_like(b, name, x), x.shape) for b, name in ((lower, "lower"), (upper, "upper")))
    lower = require(
        lower, lambda low, high: low <= high, "lower exceeds upper somewhere: the box is empty. Exchange them.", upper
    )
    return lower, upper


def _normal(a: Any, x: Array) -> Array:
    a = _like(a, "a", x)
    if a.ndim == 0 or a.shape[-1] != x.shape[-1]:
        raise ValueError(f"a has shape {a.shape}; a normal of vectors of shape {x.shape} has length {x.shape[-1]}.")
    return require(a, lambda a: (a != 0).any(-1), "a is zero: 0^T p = b holds for every p or for none; give a normal.")


def _sums(sums: Array, name: str, M: Array, axis: int) -> Array:
    if sums.ndim == 0 or sums.shape[-1] != M.shape[axis]:
        raise ValueError(f"{name} has shape {sums.shape}; with M of shape {M.shape} its length is {M.shape[axis]}.")
    return require(sums, lambda s: s >= 0, f"{name} has negative entries; no nonnegative matrix has such sums.")


def _rows(matrix: Any, vector: Any, first: str, second: str, x: Array) -> tuple[Array, Array]:
    n = x.shape[-1]
    if (matrix is None) != (vector is None):
        raise ValueError(f"{first} and {second} belong together: give both or neither.")
    if matrix is None:
        return jnp.zeros((0, n), x.dtype), jnp.zeros(0, x.dtype)
    matrix, vector = _like(matrix, first, x), _like(vector, second, x)
    if matrix.ndim != 2 or matrix.shape[1] != n or vector.shape != matrix.shape[:1]:
        raise ValueError(
            f"{first} has shape {matrix.shape} and {second} {vector.shape}; x with vectors of length {n} needs "
            f"{first} of shape (rows, {n}) and {second} of shape (rows,)."
        )
    return matrix, vector
