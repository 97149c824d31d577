"""The global search over one hyperparameter of any model, from its range to its result."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from ..result import Outcome, TuneResult
from ..strategy import AbstractStrategy
from ..thresholds import THRESHOLDS
from .journal import Journal
from .judge import judge_slopes
from .one_dimension import SPAN, EvaluateAt, Search, find_range, search
from .oracle import AbstractOracle, Point, curve_through

FURTHER = 3  # decades of a penalty by which a range that a criterion named grows where the best is its lower end


class BySolves(AbstractStrategy):
    """One hyperparameter of a criterion of folds: find the range, walk a coarse path, refine its best cells."""

    def applies(self) -> bool:
        return self.task.folded is not None and self.task.single

    def run(self) -> TuneResult:
        """The result.

        Raises:
            RuntimeError: no inner solve succeeds anywhere, or no loss is finite; with the advice of the solver.
        """
        criterion, own = self.task.folded, self.task.coordinates.interval
        assert criterion is not None
        with self.task.oracle() as oracle:
            span = own or criterion.span
            found = self._between(oracle, span)
            if span is None or own is not None or found.status is not Outcome.at_lower_end:
                return found
            if self.task.journal.exhausted:
                return found
            # a range that the criterion named is none that the user insists on
            deeper = self._between(oracle, (span[0] - FURTHER * float(np.log(10)), span[0]))
            return deeper if deeper.value < found.value else found

    def _between(self, oracle: AbstractOracle, bounds: tuple[float, float] | None) -> TuneResult:
        """The best of a range, or of one that is found."""
        coordinates, journal, best = self.task.coordinates, self.task.journal, float("inf")

        def evaluate(theta: float, near: Point | None) -> Point:
            nonlocal best
            point = oracle(np.array([theta]), near, "points", best)
            if point.value < best:
                best = point.value
                journal.record(coordinates.one(theta), point.value, abs(point.slope), "best so far")
            return point

        def finish() -> bool:
            return journal.exhausted or journal.stopped

        points, low, high, downwards = _range(evaluate, float(coordinates.start[0]), bounds, journal)
        resolution = float(np.finfo(oracle.dtype).eps) ** 0.75
        found = search(evaluate, points, low, high, downwards, bounds is None, finish, resolution)
        if not found.best.usable:
            raise RuntimeError("The criterion could not be evaluated anywhere in the range. " + " ".join(journal.notes))
        return _result(
            evaluate, found, oracle.dtype, coordinates.one, self.task.tolerance(exact=False), journal, finish
        )


def _range(
    evaluate: EvaluateAt,
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


def _sides(
    evaluate: EvaluateAt, found: Search, small: float, dtype: Any, finish: Callable[[], bool]
) -> tuple[float, float, bool]:
    """The slopes on both sides of the best point, and whether a kink lies between.

    An inner solver that stops at a duality gap may drop or keep a coefficient that is nearly zero, so the kink is only
    known to a distance that depends on it. So the sides are looked at from growing distances, up to 1e-4 relative.
    """
    best = found.best
    here = float(best.theta[0])
    if finish() or abs(best.slope) <= small or best is found.points[0] or best is found.points[-1]:
        return best.slope, best.slope, False
    for distance in (float(np.finfo(dtype).eps) ** 0.375, 1e-5, 1e-4):
        step = distance * (1 + abs(here))
        left, right = evaluate(here - step, best), evaluate(here + step, best)
        if not left.same_piece(right) and left.slope <= 0 <= right.slope:
            return left.slope, right.slope, True
    return best.slope, best.slope, False


def _result(
    evaluate: EvaluateAt,
    found: Search,
    dtype: Any,
    rebuild: Callable[[float], Any],
    tol: float,
    journal: Journal,
    finish: Callable[[], bool],
) -> TuneResult:
    best = found.best
    small = tol * max(abs(best.value), float(np.finfo(float).tiny))
    left, right, kink = _sides(evaluate, found, small, dtype, finish)
    ends = {id(found.points[0]): Outcome.at_lower_end, id(found.points[-1]): Outcome.at_upper_end}
    end = ends.get(id(best), Outcome.no_progress)
    outcome, stationarity = judge_slopes(left, right, kink=kink, flat=found.empty, small=small, end=end)
    if not outcome.converged and not found.closed:
        outcome = Outcome.stopped if journal.stopped else Outcome.budget
    points = [point for point in found.points if point.usable]
    knots = [
        float(a.theta[0] + b.theta[0]) / 2
        for a, b in pairwise(points)
        if not a.same_piece(b) and b.theta[0] - a.theta[0] <= 1e-6 * (1 + abs(float(a.theta[0])))
    ]
    how = "every promising cell examined" if found.closed else "the search was cut short"
    return journal.result(
        rebuild(float(best.theta[0])),
        best.theta,
        best.values,
        (outcome, stationarity),
        f"best of the range by a path of {THRESHOLDS.coarse} points and refinement: {how}",
        bounds=(float(found.points[0].theta[0]), float(found.points[-1].theta[0])),
        curve=curve_through(points),
        knots=np.array(knots),
        one_sided_slopes=(left, right),
    )
