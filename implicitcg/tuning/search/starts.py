"""Where descents begin: at theta0, and at the lowest places of a coarse look at the box.

In one or two dimensions the look is a path over an even grid, each point warming the next, and descents begin where the
criterion is lower than at all neighbours: one for each valley that the grid shows, not several in the deepest. In more
dimensions, or with few points, they are spread over the box.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .coordinates import Coordinates
from .oracle import Point

STARTS = 3  # descents at most, where several starts are asked for
FAR = 3.0  # how far starts lie from theta0 where there are no bounds
FEWEST = 9  # points of a grid in two dimensions


class Starts(NamedTuple):
    """The points to descend from, the best first; all that were looked at; and how, in words."""

    chosen: list[Point]
    seen: list[Point]
    how: str


def starting_points(
    evaluate: Callable[[np.ndarray, Point | None], Point],
    prefetch: Callable[[list[np.ndarray]], None],
    coordinates: Coordinates,
    count: int,
    seed: int,
    finish: Callable[[], bool],
) -> Starts:
    """The usable ones of `count` points, `theta0` among them, that are worth a descent."""
    first = coordinates.start.astype(np.float64)
    low = np.where(np.isfinite(coordinates.low), coordinates.low, first - FAR)
    high = np.where(np.isfinite(coordinates.high), coordinates.high, first + FAR)
    side = int(count ** (1 / first.size) + 1e-9)
    gridded = count > 1 and first.size <= 2 and (first.size == 1 or count >= FEWEST)
    if gridded:
        thetas = _walked(low, high, side)
    else:
        thetas = sorted(_spread(low, high, count - 1, seed), key=lambda theta: float(theta[0]))
    prefetch([first, *thetas])
    start = evaluate(first, None)
    points: list[Point] = []
    for theta in thetas:
        if finish():
            break
        points.append(evaluate(theta, points[-1] if points else start))
    valleys = _valleys(points, side, first.size) if gridded and len(points) == side**first.size else points
    # where the derivative is refused in every valley, as with tied samples, descents begin wherever there is one
    usable = _with_gradient([start, *valleys]) or _with_gradient(points)
    how = f"the lowest valleys of a coarse path of {len(points)} points" if gridded else f"the best of {count} starts"
    return Starts(sorted(usable, key=lambda point: point.value)[:STARTS], [start, *points], how)


def _with_gradient(points: list[Point]) -> list[Point]:
    return [point for point in points if point.usable and np.isfinite(point.gradient).all()]


def _walked(low: np.ndarray, high: np.ndarray, side: int) -> list[np.ndarray]:
    """An even grid, to and fro, so that neighbours come one after the other."""
    axes = [np.linspace(a, b, side) for a, b in zip(low, high, strict=True)]
    if len(axes) == 1:
        return [np.array([a]) for a in axes[0]]
    return [np.array([a, b]) for i, a in enumerate(axes[0]) for b in (axes[1] if i % 2 == 0 else axes[1][::-1])]


def _spread(low: np.ndarray, high: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
    """Roberts' sequence: multiples of the powers of the root of `x^(d+1) = x + 1` fill a cube evenly."""
    root = 2.0
    for _ in range(64):
        root = (1 + root) ** (1 / (low.size + 1))
    shift = np.random.default_rng(seed).random(low.size)
    steps = root ** -np.arange(1.0, low.size + 1)
    return [low + (high - low) * ((shift + k * steps) % 1) for k in range(1, count + 1)]


def _valleys(points: list[Point], side: int, dimension: int) -> list[Point]:
    """The points of a walked grid that are at most as high as all their neighbours."""
    values = np.array([point.value for point in points]).reshape([side] * dimension)
    numbers = np.arange(len(points)).reshape(values.shape)
    if dimension == 2:
        values[1::2], numbers[1::2] = values[1::2, ::-1].copy(), numbers[1::2, ::-1].copy()
    padded = np.pad(values, 1, constant_values=np.inf)
    lowest = np.full(values.shape, np.inf)
    for shift in np.ndindex(*[3] * dimension):
        window = tuple(slice(s, s + side) for s in shift)
        lowest = np.minimum(lowest, padded[window])
    return [points[k] for k in numbers[(values <= lowest) & np.isfinite(values)]]
