"""One hyperparameter of any model, searched globally by solves: a coarse path first, then cells, best first.

The criterion is smooth between kinks of the inner solutions, and a kink shows as a change of their signs. A cell whose
two ends have the same signs is taken as smooth and minimised by derivatives; one whose ends differ holds kinks, and is
split where the two tangents meet (at a lone kink the two branches cross there, up to second order). A cell is left
alone once the lowest value that its slopes allow is above the best value known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..thresholds import THRESHOLDS
from .oracle import Point

SPAN = float(np.log(1e4))  # the range below the empty solution, in units of theta: four decades of a log-penalty
REACH = 30.0  # how far from theta0 an empty solution is looked for


@dataclass(frozen=True)
class Cell:
    """Two neighbouring points, and how often the interval around them was split."""

    left: Point
    right: Point
    depth: int = 0

    @property
    def width(self) -> float:
        """The length of the interval."""
        return float(self.right.theta[0] - self.left.theta[0])

    @property
    def smooth(self) -> bool:
        """Whether the signs agree at both ends: no kink is inside."""
        return self.left.same_piece(self.right)

    @property
    def slopes(self) -> tuple[float, float]:
        """The slopes at the ends, the secant's where a derivative is missing."""
        left, right = self.left.slope, self.right.slope
        if not (self.left.usable and self.right.usable):
            return left, right
        secant = (self.right.value - self.left.value) / self.width
        return (left if np.isfinite(left) else secant), (right if np.isfinite(right) else secant)

    @property
    def bound(self) -> float:
        """The lowest value that slopes like those seen allow inside; the ends themselves are evaluated already."""
        lowest = min(self.left.value, self.right.value)
        if not np.isfinite(self.left.value + self.right.value):
            return lowest if self.depth < 6 else np.inf
        left, right = self.slopes
        if self.smooth:
            if np.isfinite(self.left.slope + self.right.slope) and not (left < 0 < right):
                return np.inf
            return _tangents_meet(self, left, right)[1]
        steepest = THRESHOLDS.pessimism * max(
            abs(left), abs(right), abs(self.right.value - self.left.value) / self.width
        )
        return (self.left.value + self.right.value - steepest * self.width) / 2


@dataclass(frozen=True)
class Search:
    """What the search saw: all points in order of theta, the best, whether all cells closed, whether it is empty."""

    points: list[Point]
    best: Point
    closed: bool
    empty: bool


EvaluateAt = Callable[[float, Point | None], Point]


def find_range(evaluate: EvaluateAt, theta0: float) -> tuple[list[Point], float, int]:
    """Where the solution becomes empty: the points tried, that theta, and the direction of stronger penalty (0: none).

    Looked for at growing distances on both sides of `theta0`, then closed in by bisection to 1e-3.
    """
    points = [evaluate(theta0, None)]
    if points[0].support == 0:
        return _edge_of_empty(evaluate, points)
    for direction in (1, -1):
        full, step = points[0], 1.0
        while abs(full.theta[0] - theta0) < REACH:
            trial = evaluate(float(full.theta[0] + direction * step), full)
            points.append(trial)
            if not trial.usable or trial.support > 4 * max(points[0].support, 1):
                break
            if trial.support == 0:
                edge = _bisect_support(evaluate, points, trial, full)
                return points, edge, direction
            full, step = trial, 2 * step
    return points, theta0, 0


def search(
    evaluate: EvaluateAt,
    points: list[Point],
    low: float,
    high: float,
    downwards: bool,
    extend: bool,
    finish: Callable[[], bool],
    resolution: float,
) -> Search:
    """The lowest point of `[low, high]`, by a coarse path and best-first splitting.

    Args:
        evaluate: the criterion at a theta, warm-started from a point.
        points: points known already.
        low: the lower end of the range.
        high: the upper end of the range.
        downwards: whether weak penalties are at the low end, where the path then ends.
        extend: whether the range may grow there, by half of four decades at a time, three times at most, while the
            best point is its end.
        finish: whether the budget is spent or the user has asked to stop.
        resolution: the width at which a cell around a kink is narrow enough.
    """
    points = [point for point in points if low <= point.theta[0] <= high]
    grid = np.linspace(low, high, THRESHOLDS.coarse)
    _walk(evaluate, points, grid[::-1] if downwards else grid, finish)
    for _ in range(3):
        points.sort(key=lambda point: float(point.theta[0]))
        end, inner = (points[0], points[1]) if downwards else (points[-1], points[-2])
        if not extend or finish() or _best(points) is not end or end.value >= inner.value:
            break
        further = float(end.theta[0]) + np.linspace(0, -SPAN / 2 if downwards else SPAN / 2, THRESHOLDS.coarse // 4)[1:]
        _walk(evaluate, points, further, finish)
    closed = _split_cells(evaluate, points, finish, resolution)
    points = sorted({float(point.theta[0]): point for point in points}.values(), key=lambda p: float(p.theta[0]))
    best = _best(points)
    return Search(points, best, closed, best.support == 0)


def _walk(evaluate: EvaluateAt, points: list[Point], thetas: np.ndarray, finish: Callable[[], bool]) -> None:
    near = min(points, key=lambda p: abs(p.theta[0] - thetas[0])) if points else None
    for theta in thetas:
        if finish():
            return
        near = evaluate(float(theta), near)
        points.append(near)


def _split_cells(evaluate: EvaluateAt, points: list[Point], finish: Callable[[], bool], resolution: float) -> bool:
    """Split the most promising cell until none can hold a better point; `False` when the budget ends first."""
    points.sort(key=lambda point: float(point.theta[0]))
    cells = [Cell(a, b) for a, b in pairwise(points) if b.theta[0] > a.theta[0]]
    while cells:
        best = _best(points).value
        if not np.isfinite(best):
            return True
        noise = 16 * np.finfo(points[0].values.dtype).eps * abs(best)
        cells = [c for c in cells if c.width > resolution * (1 + abs(c.left.theta[0])) and c.bound < best - noise]
        if not cells:
            break
        if finish():
            return False
        cell = min(cells, key=lambda c: c.bound)
        cells.remove(cell)
        theta = _split_point(cell)
        nearer = cell.left if theta - cell.left.theta[0] < cell.right.theta[0] - theta else cell.right
        point = evaluate(theta, nearer)
        if not cell.left.theta[0] < point.theta[0] < cell.right.theta[0]:
            continue  # the dtype has no number between
        points.append(point)
        cells += [Cell(cell.left, point, cell.depth + 1), Cell(point, cell.right, cell.depth + 1)]
    return True


def _split_point(cell: Cell) -> float:
    """Where to look next: a parabola's minimum in a smooth cell, where tangents meet around a kink, or the middle."""
    a, w = float(cell.left.theta[0]), cell.width
    left, right = cell.slopes
    if cell.depth % 3 == 2 or not np.isfinite(left + right + cell.left.value + cell.right.value):
        return a + w / 2
    if cell.smooth:
        guess = -left / (right - left) * w if left < 0 < right else w / 2
    else:
        guess = _tangents_meet(cell, left, right)[0]
    return a + float(np.clip(guess, 0.01 * w, 0.99 * w))


def _tangents_meet(cell: Cell, left: float, right: float) -> tuple[float, float]:
    """Offset from the left end, and value, of the intersection of the tangents at the ends; the middle if parallel."""
    rise = cell.right.value - cell.left.value
    if abs(right - left) <= 1e-12 * (abs(left) + abs(right)):
        return cell.width / 2, min(cell.left.value, cell.right.value)
    offset = (right * cell.width - rise) / (right - left)
    return offset, cell.left.value + left * offset


def _best(points: list[Point]) -> Point:
    return min(points, key=lambda point: point.value)


def _bisect_support(evaluate: EvaluateAt, points: list[Point], empty: Point, full: Point) -> float:
    while abs(empty.theta[0] - full.theta[0]) > 1e-3:
        middle = evaluate(float(empty.theta[0] + full.theta[0]) / 2, full)
        points.append(middle)
        empty, full = (middle, full) if middle.support == 0 else (empty, middle)
    return float(empty.theta[0])


def _edge_of_empty(evaluate: EvaluateAt, points: list[Point]) -> tuple[list[Point], float, int]:
    """From an empty solution, the side on which features appear."""
    empty = points[0]
    for distance in (1.0, 2.0, 4.0, 8.0, 16.0, REACH):
        for direction in (1, -1):
            trial = evaluate(float(empty.theta[0] - direction * distance), empty)
            points.append(trial)
            if trial.usable and trial.support > 0:
                return points, _bisect_support(evaluate, points, empty, trial), direction
    return points, float(empty.theta[0]), 0
