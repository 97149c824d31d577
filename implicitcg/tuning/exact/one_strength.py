"""The result of an exact search, in the user's hyperparameter."""

from __future__ import annotations

import numpy as np

from ..criteria.losses import Loss, is_convex
from ..result import Curve, Outcome, Stationarity, TuneResult
from ..search.coordinates import Coordinates
from ..search.journal import Journal
from ..search.judge import fold_error, judge_slopes
from .checkpoint import PathLog
from .minimise import ExactMinimum, Sampler, Score, minimise
from .recognise import OneStrength
from .strength import Strength

GRID = 200  # evenly spaced thetas that fill the curve between knots


def tune_exactly(
    known: OneStrength,
    loss: Loss,
    score: Score | None,
    coordinates: Coordinates,
    tol: float,
    journal: Journal,
    log: PathLog | None = None,
) -> TuneResult:
    """Search the range piece by piece and report the global minimum of a loss, or of a score of the fit.

    Raises:
        PathBroken: the exact path meets a degenerate knot; the caller searches by solves instead.
        Disagrees: the model itself, evaluated at the answer, makes another problem than the path solved.
    """
    strength, paths = known.strength, known.paths
    sampler = Sampler(paths, loss, score)
    if max(path.path.c_max for path in paths) <= 0:
        return _constant(sampler, coordinates, journal)
    c_range = None
    bounds = coordinates.interval
    if bounds is not None:
        low, high = sorted(float(c) for c in strength.at(np.array(bounds)))
        if high <= 0:
            raise ValueError(f"bounds={bounds} gives no positive penalty.")
        c_range = (max(low, 0.0), high)

    log = PathLog(None, {}) if log is None else log
    log.restore(paths)

    def report(pieces: int, value: float) -> None:
        journal.spend(pieces - journal.solves, "pieces", value)
        log.put(paths)

    found = minimise(sampler, c_range, report, lambda: journal.late or journal.stopped)
    if found.cut and not (journal.late or journal.stopped):
        # Ctrl-C may have come between two pieces, so the paths are not kept as they stand; the file has a whole stage
        journal.interrupted = journal.stopped = True
        journal.tell("Interrupted by the user; the best point so far is returned.")
    else:
        log.flush(paths)
    place = float(strength.inverse(found.c))
    theta = coordinates.one(place)
    known.verify(float(np.asarray(place, coordinates.dtype)), theta)
    value = float(found.fold_values.mean())
    outcome, left, right, stationarity = _judge(found, strength, tol, value)
    if found.cut and not outcome.converged:
        outcome = Outcome.budget if journal.late else Outcome.stopped
    journal.record(theta, value, stationarity.distance, f"best of {len(found.c_grid) - 1} pieces")
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
    bound_thetas = sorted(float(t) for t in strength.inverse(np.array([found.c_low, found.c_high])))
    convex = (
        ""
        if is_convex(loss) or score is not None
        else " (the loss is not known to be convex: each piece was examined at 8 points)"
    )
    return TuneResult(
        theta=theta,
        value=value,
        status=outcome,
        stationarity=stationarity,
        history=journal.history,
        solves=journal.solves,
        seconds=journal.seconds,
        standard_error=float(fold_error(found.fold_values)),
        place=np.array([place]),
        scope=(
            "global over the part of the range that was walked before the search was cut short"
            if found.cut
            else "global over the range: every piece examined"
        )
        + convex,
        bounds=(bound_thetas[0], bound_thetas[1]),
        curve=_curve(found, strength, sampler),
        knots=np.sort(strength.inverse(found.kinks)),
        one_sided_slopes=(left, right),
        fold_values=found.fold_values,
        notes=journal.notes,
    )


def _judge(
    found: ExactMinimum, strength: Strength, tol: float, value: float
) -> tuple[Outcome, float, float, Stationarity]:
    """The first-order test by theta, and the outcome that it means."""
    rate = float(strength.derivative(np.array(found.c)))
    left, right = found.left * rate, found.right * rate
    if rate < 0:
        left, right = right, left
    if found.jumps:
        elements = np.array([left, right])
        verdict = "a local minimum: the criterion jumps up beside it"
        return Outcome.stationary_jump, left, right, Stationarity(elements, 0.0, verdict)
    outcome, stationarity = judge_slopes(
        left,
        right,
        kink=found.on_kink,
        flat=found.c >= found.c_empty,
        small=tol * abs(value),
        end=Outcome.at_lower_end if (found.c <= found.c_low) == (rate > 0) else Outcome.at_upper_end,
    )
    return outcome, left, right, stationarity


def _curve(found: ExactMinimum, strength: Strength, sampler: Sampler) -> Curve:
    """The criterion at every knot, on an even grid of theta and at the minimum."""
    ends = strength.inverse(np.array([found.c_low, found.c_high]))
    even = strength.at(np.linspace(ends[0], ends[1], GRID))
    c = np.unique(np.concatenate([found.c_grid, np.clip(even, found.c_low, found.c_high), [found.c]]))
    # the derivative from the right by theta is from above by c where c grows with theta
    samples = sampler(c, below=strength.rate < 0)
    theta = strength.inverse(c)
    order = np.argsort(theta, kind="stable")
    slope = samples.slopes.mean(axis=1) * strength.derivative(c)
    return Curve(theta[order], samples.values.mean(axis=1)[order], fold_error(samples.values)[order], slope[order])


def _constant(sampler: Sampler, coordinates: Coordinates, journal: Journal) -> TuneResult:
    """No feature correlates with the response: every penalty gives the same empty model."""
    for path in sampler.paths:
        path.extend(0.0)
    values = sampler(np.zeros(1), below=False).values[0]
    theta0 = float(coordinates.start[0])
    theta = coordinates.one(theta0)
    journal.tell(
        "No feature correlates with the response (is it constant?), so every penalty gives the empty model and theta0 "
        "is returned."
    )
    journal.record(theta, float(values.mean()), 0.0, "constant criterion")
    error = float(fold_error(values))
    verdict = "stationary: the criterion is constant"
    return TuneResult(
        theta=theta,
        value=float(values.mean()),
        status=Outcome.flat,
        stationarity=Stationarity(np.zeros(1), 0.0, verdict),
        history=journal.history,
        solves=journal.solves,
        seconds=journal.seconds,
        standard_error=error,
        place=np.array([theta0]),
        scope="global: the criterion is constant",
        bounds=(theta0, theta0),
        curve=Curve(np.array([theta0]), values.mean(keepdims=True), np.array([error]), np.zeros(1)),
        knots=np.empty(0),
        one_sided_slopes=(0.0, 0.0),
        fold_values=values,
        notes=journal.notes,
    )
