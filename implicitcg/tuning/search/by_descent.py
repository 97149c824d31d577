"""The result of a descent in the user's hyperparameters, with the stationarity test at its end."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ...nonsmooth import conservative_jacobian
from ...nonsmooth.hull import distinct_points, nearest_to_origin
from ..result import Curve, Outcome, Stationarity, TuneResult
from .coordinates import Coordinates
from .descent import Descended, start_of
from .journal import Journal
from .judge import fold_error
from .oracle import AbstractOracle, FunctionOracle, Point
from .starts import starting_points
from .strategies import AbstractSearch


def tune_by_descent(
    oracle: AbstractOracle,
    coordinates: Coordinates,
    search: AbstractSearch,
    starts: int,
    tol: float,
    journal: Journal,
    seed: int,
) -> TuneResult:
    """Descend from the start (or from the best of several), test the end, and report.

    Raises:
        RuntimeError: the criterion or its gradient cannot be evaluated at the start; with the reason.
    """
    best = float("inf")
    dtype, box = oracle.dtype, (coordinates.low, coordinates.high)

    def natural(theta: np.ndarray) -> Any:
        return coordinates.natural(jnp.asarray(theta, dtype))

    def evaluate(theta: np.ndarray, near: Point | None) -> Point:
        return oracle(theta, near, "descent", best)

    def accepted(point: Point, slope: float, note: str) -> None:
        nonlocal best
        if point.value < best:
            best = point.value
            journal.record(natural(point.theta), point.value, slope, note)

    def finish() -> bool:
        return journal.exhausted or journal.stopped

    chosen, seen, how = starting_points(evaluate, oracle.prefetch, coordinates, starts, seed, finish)
    if not chosen:
        raise RuntimeError("The criterion cannot be evaluated at theta0. " + " ".join(journal.notes))
    ends: list[Descended] = []
    for start in chosen:
        if ends and finish():
            break
        accepted(start, start_of(start, box).slope, "start")
        ends.append(search.run(evaluate, start, box, tol, finish, accepted, seed))
    end = min(ends, key=lambda end: end.point.value)
    small = tol * max(abs(end.point.value), 1e-3 * abs(chosen[0].value), np.finfo(float).tiny)
    end = _with_exact_elements(oracle, end, small)
    size = float(np.max(np.abs(end.elements), initial=0.0))
    elements = end.elements[distinct_points(end.elements, 1e-5 * size)]
    outcome, verdict = _judge(end, small, journal)
    if end.held.any():
        many = int(end.held.sum())
        verdict += f", with {many} of {end.held.size} hyperparameters on their bounds"
    one_sided = None
    if end.point.theta.size == 1:
        one_sided = (float(elements.min()), float(elements.max()))
    scope = "local: the end of a descent from theta0"
    curve = None
    if starts > 1:
        made = f"best end of {len(ends)} descents" if len(ends) > 1 else "end of the one descent that was begun"
        scope = f"local: the {made}, from {how}"
        curve = _curve([*seen, end.point]) if one_sided else None
    return TuneResult(
        theta=natural(end.point.theta),
        value=end.point.value,
        status=outcome,
        stationarity=Stationarity(elements.squeeze(1) if one_sided else elements, end.distance, verdict, False),
        history=journal.history,
        solves=journal.solves,
        seconds=journal.seconds,
        standard_error=float(fold_error(end.point.values)),
        scope=scope,
        bounds=None if curve is None else (float(curve.theta[0]), float(curve.theta[-1])),
        curve=curve,
        one_sided_slopes=one_sided,
        fold_values=end.point.values if len(end.point.values) > 1 else None,
        place=end.point.theta,
        notes=journal.notes,
    )


def _curve(points: list[Point]) -> Curve:
    """The criterion at the points of a coarse path in one dimension and at its end."""
    at = {float(point.theta[0]): point for point in points if point.usable}
    ordered = [at[theta] for theta in sorted(at)]
    values = np.stack([point.values for point in ordered])
    slopes = np.array([point.slope for point in ordered])
    return Curve(np.array(sorted(at)), values.mean(axis=1), fold_error(values), slopes)


def _judge(end: Descended, small: float, journal: Journal) -> tuple[Outcome, str]:
    if end.distance <= small:
        if end.kink:
            return Outcome.stationary_kink, "stationary at a kink"
        return Outcome.stationary_smooth, "stationary, smooth"
    if journal.stopped:
        return Outcome.stopped, "not stationary: the search was stopped"
    if end.finished:
        return Outcome.no_progress, "not stationary, as far as the elements found tell"
    return Outcome.budget, "not stationary yet"


def _with_exact_elements(oracle: AbstractOracle, end: Descended, small: float) -> Descended:
    """The elements at the point itself, by enumeration of the branches, where the hull nearby left a doubt."""
    over = not end.finished or oracle.journal.interrupted
    if end.distance <= small or over or not isinstance(oracle, FunctionOracle):
        return end
    scale = 1 + float(np.max(np.abs(end.point.theta)))
    near = 1e-6 * scale if oracle.dtype == np.float64 else 1e-3 * scale
    try:
        found = conservative_jacobian(oracle.scalar, jnp.asarray(end.point.theta, oracle.dtype), tol=near)
    except (ValueError, TypeError, NotImplementedError) as error:
        oracle.journal.tell(f"The set of hypergradients at the end could not be enumerated: {error}")
        return end
    vertices = np.asarray(ravel_pytree(found.vertices)[0], np.float64).reshape(len(found), -1)
    elements = np.concatenate([end.elements, vertices])
    elements = np.where(end.held, 0.0, elements)
    distance = float(np.linalg.norm(nearest_to_origin(elements)[0]))
    return Descended(end.point, elements, distance, len(elements) > 1, end.finished, end.held)
