"""The certificate of a quadratic program: two rank tests, exact for any number of weakly active constraints."""

from __future__ import annotations

import numpy as np

from ..core import Certificate


def certify_quadratic_program(
    P: np.ndarray, A: np.ndarray, G: np.ndarray, v: np.ndarray, residual: float, tolerance: float | None
) -> Certificate:
    """The verdict on every element at a solution, of which `v` is slack minus multiplier.

    Let `S` be the strongly active constraints, `W` the weakly active ones (the kinks). For `S <= T <= S + W` the vertex
    `B_T` is invertible exactly when the rows of `A` and `G_T` are independent and `P` is positive definite on their
    null space. The first condition is hardest for `T = S + W` (linear independence of the active constraints), the
    second for `T = S` (strong second-order sufficiency). For positive semidefinite `P` all determinants are then of one
    sign, so that the two tests decide about all elements, also between the vertices.
    """
    eps = float(np.finfo(v.dtype).eps)
    near = eps**0.75 * max(1.0, float(np.max(np.abs(v), initial=0.0))) if tolerance is None else tolerance
    found = _judge(P, A, G, v, near)
    if tolerance is None and found.min_singular_value > 0:
        bound = 2 * residual / found.min_singular_value
        if near < bound and found.margin <= bound:  # the solution is too inexact to tell these kinks apart
            return _judge(P, A, G, v, bound)
    return found


def _judge(P: np.ndarray, A: np.ndarray, G: np.ndarray, v: np.ndarray, near: float) -> Certificate:
    kinks, margin = np.abs(v) <= near, float(np.min(np.abs(v), initial=np.inf))
    strong = (v < 0) & ~kinks
    count = int(kinks.sum())
    active = np.flatnonzero(strong | kinks)
    rows, scale = np.concatenate([A, G[active]]), max(float(np.abs(P).max()), np.finfo(P.dtype).tiny)
    smallest, null = independence(rows)
    if smallest == 0.0:
        names = [f"A[{i}]" for i in range(len(A))] + [f"G[{i}]" for i in active]
        reason = dependence(null, names, len(A))
        return Certificate("singular", count, margin, 0.0, 2**count, reason)
    held = np.concatenate([A, G[strong]])
    basis = _null_space(held)
    curvature = float(np.linalg.eigvalsh(basis.T @ P @ basis)[0]) if basis.shape[1] else np.inf
    if basis.shape[1] and curvature <= 10 * len(P) * np.finfo(P.dtype).eps * scale:
        reason = (
            "the objective is flat along a direction that the strongly active constraints leave free (second-order "
            "sufficiency fails): the solution is not unique, or jumps under a small change of the data"
        )
        return Certificate("singular", count, margin, max(curvature, 0.0), 2**count, reason)
    reason = (
        f"the {len(active)} active constraints{f' and {len(A)} equalities' if len(A) else ''} are linearly independent "
        "and the objective is strictly convex on the null space of the strongly active ones"
    )
    return Certificate("certified", count, margin, min(smallest, curvature), 2**count, reason)


def dependence(null: np.ndarray, names: list[str], equalities: int) -> str:
    """What it means that the rows `names`, the equalities first, are dependent with the coefficients `null`."""
    involved = np.flatnonzero(np.abs(null) > 1e-6 * np.abs(null).max())
    shown = ", ".join([names[i] for i in involved][:6]) + (", ..." if len(involved) > 6 else "")
    consequence = (
        "the equality constraints contradict each other after most small changes of their data; the derivative of x is "
        "right along changes that keep them consistent, and refused along others"
        if np.all(involved < equalities)
        else "their multipliers are not unique, and the derivative of x is that of an independent subset of them, "
        "one piece of the solution map"
    )
    return f"the active constraints {shown} are linearly dependent: {consequence}"


def independence(rows: np.ndarray) -> tuple[float, np.ndarray]:
    """The smallest singular value of rows, 0 where they are dependent to rounding, and then their dependence."""
    if len(rows) == 0:
        return np.inf, np.zeros(0)
    lengths = np.linalg.norm(rows, axis=1)
    unit = rows / np.where(lengths > 0, lengths, 1)[:, None]
    left, values, _ = np.linalg.svd(unit)
    smallest = values[-1] if len(rows) <= rows.shape[1] else 0.0
    if smallest <= 10 * max(rows.shape) * np.finfo(rows.dtype).eps * values[0]:
        return 0.0, left[:, -1]
    return float(np.linalg.svd(rows, compute_uv=False)[-1]), np.zeros(len(rows))


def _null_space(rows: np.ndarray) -> np.ndarray:
    """An orthonormal basis of the null space of rows that are independent."""
    n = rows.shape[1]
    if len(rows) == 0:
        return np.eye(n, dtype=rows.dtype)
    return np.linalg.svd(rows)[2][len(rows) :].T
