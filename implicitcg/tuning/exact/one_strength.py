"""The exact search of a LASSO in one strength, and its result in the user's hyperparameter."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from ..criteria.information import AbstractInformation
from ..criteria.losses import is_convex
from ..result import Curve, Outcome, Stationarity, TuneResult
from ..search.journal import Journal
from ..search.judge import fold_error, judge_slopes
from ..strategy import AbstractStrategy, Task
from .checkpoint import restore, state
from .fold_path import FoldData, FoldPath
from .minimise import ExactMinimum, Sampler, minimise
from .recognise import OneStrength, recognise
from .strength import Strength

CURVE_POINTS = 200  # evenly spaced thetas that fill the curve between knots


class AlongPath(AbstractStrategy):
    """A LASSO in one strength: every piece of its exact path is examined, and the lowest is the global minimum."""

    known: OneStrength | None = None

    def applies(self) -> bool:
        criterion, coordinates = self.task.folded, self.task.coordinates
        if criterion is None or not self.task.single:
            return False
        place = coordinates.start[0]
        self.known = recognise(criterion, place, lambda place: coordinates.natural(jnp.reshape(place, 1)))
        return self.known is not None

    def run(self) -> TuneResult:
        assert self.known is not None
        return _searched(self.task, self.known)


def _searched(task: Task, known: OneStrength) -> TuneResult:
    """Search the range piece by piece and report the global minimum of a loss, or of a score of the fit."""
    coordinates, journal, criterion, strength = task.coordinates, task.journal, task.folded, known.strength
    assert criterion is not None
    if criterion.at_once:
        paths = criterion.workers.in_processes(FoldData.walked, [(fold,) for fold in known.folds])
    else:
        paths = [fold.path() for fold in known.folds]
    score = criterion.score if isinstance(criterion, AbstractInformation) else None
    sampler = Sampler(paths, criterion.loss, score)
    if max(path.path.c_max for path in paths) <= 0:
        return _constant(sampler, task)
    c_range = None
    bounds = coordinates.interval
    if bounds is not None:
        low, high = sorted(float(c) for c in strength.at(np.array(bounds)))
        if high <= 0:
            raise ValueError(f"bounds={bounds} gives no positive penalty.")
        c_range = (max(low, 0.0), high)

    kept = task.kept()
    restore(paths, kept.read()[0])

    def keep() -> None:
        if kept.path is not None and all(path.knots for path in paths):
            kept.write(state(paths), [])

    def report(pieces: int, value: float) -> None:
        journal.spend(pieces - journal.solves, "pieces", value)
        if kept.due:
            keep()

    found = minimise(sampler, c_range, report, lambda: journal.late or journal.stopped)
    if found.cut and not (journal.late or journal.stopped):
        # Ctrl-C may have come between two pieces, so the paths are not kept as they stand; the file has a whole stage
        journal.interrupted = journal.stopped = True
        journal.tell("Interrupted by the user; the best point so far is returned.")
    else:
        keep()
    place = float(strength.inverse(found.c))
    theta = coordinates.one(place)
    known.verify(float(np.asarray(place, coordinates.dtype)), theta, paths)
    value = float(found.fold_values.mean())
    verdict, left, right = _judged(found, strength, task.tolerance(exact=True), value)
    if found.cut and not verdict[0].converged:
        verdict = Outcome.budget if journal.late else Outcome.stopped, verdict[1]
    journal.record(theta, value, verdict[1].distance, f"best of {len(found.c_grid) - 1} pieces")
    _tell(journal, paths)
    bound_thetas = sorted(float(t) for t in strength.inverse(np.array([found.c_low, found.c_high])))
    scope = "global over the range: every piece examined"
    if found.cut:
        scope = "global over the part of the range that was walked before the search was cut short"
    if not is_convex(criterion.loss) and score is None:
        scope += " (the loss is not known to be convex: each piece was examined at 8 points)"
    return journal.result(
        theta,
        np.array([place]),
        found.fold_values,
        verdict,
        scope,
        bounds=(bound_thetas[0], bound_thetas[1]),
        curve=_curve(found, strength, sampler),
        knots=np.sort(strength.inverse(found.kinks)),
        one_sided_slopes=(left, right),
    )


def _tell(journal: Journal, paths: list[FoldPath]) -> None:
    """What else a user should know of the walk."""
    if journal.exhausted:
        journal.tell(
            f"The exact path took {journal.solves} pieces, more than max_solves={journal.max_solves}: a piece costs "
            "far less than a solve, and the claim of a global minimum needs them all. Narrow `bounds=` to have fewer."
        )
    if any(path.path.swaps for path in paths):
        journal.tell(
            "Some columns are linear combinations of others, so the coefficients (not the fit) are not unique; the "
            "derivative of the coefficients is not certified, and validation rows that break the dependence could "
            "be predicted in several ways."
        )


def _judged(
    found: ExactMinimum, strength: Strength, tol: float, value: float
) -> tuple[tuple[Outcome, Stationarity], float, float]:
    """The outcome with its first-order test by theta, and the slopes on both sides."""
    rate = float(strength.derivative(np.array(found.c)))
    left, right = found.left * rate, found.right * rate
    if rate < 0:
        left, right = right, left
    if found.jumps:
        elements = np.array([left, right])
        verdict = "a local minimum: the criterion jumps up beside it"
        return (Outcome.stationary_jump, Stationarity(elements, 0.0, verdict)), left, right
    judged = judge_slopes(
        left,
        right,
        kink=found.on_kink,
        flat=found.c >= found.c_empty,
        small=tol * abs(value),
        end=Outcome.at_lower_end if (found.c <= found.c_low) == (rate > 0) else Outcome.at_upper_end,
    )
    return judged, left, right


def _curve(found: ExactMinimum, strength: Strength, sampler: Sampler) -> Curve:
    """The criterion at every knot, on an even grid of theta and at the minimum."""
    ends = strength.inverse(np.array([found.c_low, found.c_high]))
    even = strength.at(np.linspace(ends[0], ends[1], CURVE_POINTS))
    c = np.unique(np.concatenate([found.c_grid, np.clip(even, found.c_low, found.c_high), [found.c]]))
    # the derivative from the right by theta is from above by c where c grows with theta
    samples = sampler(c, below=strength.rate < 0)
    theta = strength.inverse(c)
    order = np.argsort(theta, kind="stable")
    slope = samples.slopes.mean(axis=1) * strength.derivative(c)
    return Curve(theta[order], samples.values.mean(axis=1)[order], fold_error(samples.values)[order], slope[order])


def _constant(sampler: Sampler, task: Task) -> TuneResult:
    """No feature correlates with the response: every penalty gives the same empty model."""
    for path in sampler.paths:
        path.extend(0.0)
    values = sampler(np.zeros(1), below=False).values[0]
    place = float(task.coordinates.start[0])
    theta = task.coordinates.one(place)
    task.journal.tell(
        "No feature correlates with the response (is it constant?), so every penalty gives the empty model and theta0 "
        "is returned."
    )
    task.journal.record(theta, float(values.mean()), 0.0, "constant criterion")
    error = np.array([float(fold_error(values))])
    return task.journal.result(
        theta,
        np.array([place]),
        values,
        (Outcome.flat, Stationarity(np.zeros(1), 0.0, "stationary: the criterion is constant")),
        "global: the criterion is constant",
        bounds=(place, place),
        curve=Curve(np.array([place]), values.mean(keepdims=True), error, np.zeros(1)),
        knots=np.empty(0),
        one_sided_slopes=(0.0, 0.0),
    )
