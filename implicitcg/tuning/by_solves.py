"""The global search over one hyperparameter of any model, from its range to its result."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from .journal import Journal
from .judge import fold_error, judge_slopes
from .oracle import FoldOracle, Point
from .result import Curve, Outcome, TuneResult
from .search_1d import COARSE, SPAN, Evaluate, Search, find_range, search


def tune_by_solves(
    oracle: FoldOracle,
    theta0: float,
    rebuild: Callable[[float], Any],
    bounds: tuple[float, float] | None,
    tol: float,
    journal: Journal,
) -> TuneResult:
    """Find the range, walk a coarse path, refine its best cells, and report.

    Raises:
        RuntimeError: no inner solve succeeds anywhere, or no loss is finite; with the advice of the solver.
    """
    best = float("inf")

    def evaluate(theta: float, near: Point | None) -> Point:
        nonlocal best
        point = oracle(np.array([theta]), near, "points", best)
        if point.value < best:
            best = point.value
            journal.record(rebuild(theta), point.value, abs(point.slope), "best so far")
        return point

    def finish() -> bool:
        return journal.exhausted or journal.stopped

    points, low, high, downwards = _range(evaluate, theta0, bounds, journal)
    resolution = 4 * float(np.finfo(oracle.dtype).eps)
    found = search(evaluate, points, low, high, downwards, bounds is None, finish, resolution)
    if not found.best.usable:
        raise RuntimeError("The criterion could not be evaluated anywhere in the range. " + " ".join(journal.notes))
    return _result(found, theta0, rebuild, tol, journal)


def _range(
    evaluate: Evaluate,
    theta0: float,
    bounds: tuple[float, float] | None,
    journal: Journal,
) -> tuple[list[Point], float, float, bool]:
    """`(points, low, high, whether weak penalties are at the low end)`."""
    if bounds is not None:
        ends = [evaluate(end, None) for end in bounds]
        return ends, bounds[0], bounds[1], ends[0].support >= ends[1].support
    points, edge, direction = find_range(evaluate, theta0)
    if direction == 0:
        journal.tell(
            "No theta makes the inner solution empty, so the range is four decades around theta0; give `bounds=` "
            "where that is not what you mean."
        )
        return points, theta0 - SPAN / 2, theta0 + SPAN / 2, True
    low, high = (edge - SPAN, edge) if direction > 0 else (edge, edge + SPAN)
    return points, min(low, theta0), max(high, theta0), direction > 0


def _result(found: Search, theta0: float, rebuild: Callable[[float], Any], tol: float, journal: Journal) -> TuneResult:
    best, left_cell, right_cell = found.best, found.left, found.right
    left = right = best.slope
    if left_cell is not None and not left_cell.smooth:
        left = left_cell.left.slope
    if right_cell is not None and not right_cell.smooth:
        right = right_cell.right.slope
    narrow = [cell for cell in (left_cell, right_cell) if cell is not None and not cell.smooth]
    kink = any(cell.width <= 1e-6 * (1 + abs(float(best.theta[0]))) for cell in narrow)
    small = tol * max(abs(best.value), float(np.finfo(float).tiny))
    if left_cell is None:
        end = Outcome.at_lower_end
    elif right_cell is None:
        end = Outcome.at_upper_end
    else:
        end = Outcome.no_progress
    outcome, stationarity = judge_slopes(left, right, kink=kink, flat=found.empty, small=small, end=end)
    if not outcome.converged and not found.closed:
        outcome = Outcome.stopped if journal.stopped else Outcome.budget
    points = [point for point in found.points if point.usable]
    values = np.stack([point.values for point in points])
    knots = [
        float(a.theta[0] + b.theta[0]) / 2
        for a, b in pairwise(points)
        if not a.same_piece(b) and b.theta[0] - a.theta[0] <= 1e-6 * (1 + abs(float(a.theta[0])))
    ]
    how = "every promising cell examined" if found.closed else "the search was cut short"
    return TuneResult(
        theta=rebuild(float(best.theta[0])),
        value=best.value,
        status=outcome,
        stationarity=stationarity,
        history=journal.history,
        solves=journal.solves,
        seconds=journal.seconds,
        standard_error=float(fold_error(best.values)),
        scope=f"best of the range by a path of {COARSE} points and refinement: {how}",
        bounds=(float(found.points[0].theta[0]), float(found.points[-1].theta[0])),
        curve=Curve(
            np.array([float(point.theta[0]) for point in points]),
            values.mean(axis=1),
            fold_error(values),
            np.array([point.slope for point in points]),
        ),
        knots=np.array(knots),
        one_sided_slopes=(left, right),
        fold_values=best.values,
        notes=journal.notes,
    )
