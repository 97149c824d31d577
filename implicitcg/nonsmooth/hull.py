"""The convex hull of finitely many points: its point nearest to the origin, and the distance from a point to it."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls


def nearest_to_origin(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest element of the convex hull of the rows of `points` and its weights.

    `min |P^T l|^2` over `l >= 0, sum l = 1` has, up to scale, the solution of `min |P^T l|^2 + (1 - sum l)^2` over
    `l >= 0`: for a given direction the second problem only picks the scale. So one nonnegative least-squares problem,
    solved by an active-set method to machine precision, gives it.

    Arguments: `points`, shape `(N, d)`. Returns: the point, `(d,)`, and the weights, `(N,)`.
    """
    points = np.asarray(points, float)
    count, dimension = points.shape
    smallest = points[np.argmin((points**2).sum(1))]
    scale = np.sqrt((smallest**2).sum())
    if scale == 0 or dimension == 0 or count == 1:
        weights = (points == smallest).all(1)
        return smallest, weights / max(weights.sum(), 1)
    system = np.vstack([points.T / scale, np.ones((1, count))])
    target = np.zeros(dimension + 1)
    target[-1] = 1.0
    weights, _ = nnls(system, target, maxiter=50 * (count + dimension + 1))
    weights = weights / weights.sum()
    return points.T @ weights, weights


def distance(points: np.ndarray, to: np.ndarray) -> float:
    """The Euclidean distance from `to`, shape `(d,)`, to the convex hull of the rows of `points`."""
    nearest, _ = nearest_to_origin(np.asarray(points, float) - np.asarray(to, float))
    return float(np.sqrt((nearest**2).sum()))


def distinct(points: np.ndarray, tolerance: float) -> np.ndarray:
    """Indices of the rows that differ from every row kept before by more than `tolerance` in some entry."""
    if len(points) == 0:
        return np.zeros(0, int)
    grid = np.round(points / tolerance) if tolerance > 0 else points
    # Sorting by a coarse grid finds exact copies fast; neighbours across a grid line are compared one by one.
    _, first = np.unique(grid, axis=0, return_index=True)
    kept: list[int] = []
    chosen = np.zeros((0, points.shape[1]))
    for i in np.sort(first):
        if len(kept) == 0 or np.abs(chosen - points[i]).max(1).min() > tolerance:
            kept.append(int(i))
            chosen = np.vstack([chosen, points[i]])
    return np.asarray(kept, int)
