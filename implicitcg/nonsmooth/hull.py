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


def distinct_points(points: np.ndarray, tolerance: float) -> np.ndarray:
    """Indices of the rows, in their order, that differ from every row kept before by more than `tolerance` somewhere.

    Rows that are close have close projections on any one line, so each is compared with its neighbours there only.
    """
    if len(points) == 0:
        return np.zeros(0, int)
    line = np.random.default_rng(0).normal(size=points.shape[1])
    shadows = points @ line
    reach = tolerance * np.abs(line).sum()
    order = np.argsort(shadows, kind="stable")
    shadows = shadows[order]
    starts = np.searchsorted(shadows, shadows - reach)
    kept = np.ones(len(points), bool)
    for i in range(1, len(order)):
        near = order[starts[i] : i]
        near = near[kept[near]]
        if len(near) and np.abs(points[near] - points[order[i]]).max(1).min() <= tolerance:
            first = near[np.abs(points[near] - points[order[i]]).max(1).argmin()]
            kept[max(first, order[i])] = False
    return np.flatnonzero(kept)
