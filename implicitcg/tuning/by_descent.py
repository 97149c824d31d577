"""The result of a descent in the user's hyperparameters, with the stationarity test at its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ..nonsmooth import conservative_jacobian
from ..nonsmooth.hull import distinct, nearest_to_origin
from .descent import Descended, descend
from .journal import Journal
from .judge import fold_error
from .oracle import AbstractOracle, FunctionOracle, Point
from .result import Outcome, Stationarity, TuneResult


def tune_by_descent(
    oracle: AbstractOracle, flat: np.ndarray, unravel: Callable[[Any], Any], tol: float, journal: Journal, seed: int
) -> TuneResult:
    """Descend from `flat`, test the end, and report.

    Raises:
        RuntimeError: the criterion or its gradient cannot be evaluated at the start; with the reason.
    """
    best = float("inf")

    def evaluate(theta: np.ndarray, near: Point | None) -> Point:
        return oracle(theta, near, "descent", best)

    def accepted(point: Point, slope: float, note: str) -> None:
        nonlocal best
        best = point.value
        journal.record(unravel(jnp.asarray(point.theta, oracle.dtype)), point.value, slope, note)

    def finish() -> bool:
        return journal.exhausted or journal.stopped

    start = evaluate(flat, None)
    if not start.usable or not np.isfinite(start.gradient).all():
        raise RuntimeError("The criterion cannot be evaluated at theta0. " + " ".join(journal.notes))
    accepted(start, float(np.linalg.norm(start.gradient)), "start")
    end = descend(evaluate, start, tol, finish, accepted, seed)
    theta = unravel(jnp.asarray(end.point.theta, oracle.dtype))
    small = tol * max(abs(end.point.value), 1e-3 * abs(start.value), np.finfo(float).tiny)
    end = _with_exact_elements(oracle, end, small)
    size = float(np.max(np.abs(end.elements), initial=0.0))
    elements = end.elements[distinct(end.elements, 1e-5 * size)]
    outcome, verdict = _judge(end, small, journal)
    one_sided = None
    if end.point.theta.size == 1:
        one_sided = (float(elements.min()), float(elements.max()))
    return TuneResult(
        theta=theta,
        value=end.point.value,
        status=outcome,
        stationarity=Stationarity(elements.squeeze(1) if one_sided else elements, end.distance, verdict, False),
        history=journal.history,
        solves=journal.solves,
        seconds=journal.seconds,
        standard_error=float(fold_error(end.point.values)),
        scope="local: the end of a descent from theta0",
        one_sided_slopes=one_sided,
        fold_values=end.point.values if len(end.point.values) > 1 else None,
        notes=journal.notes,
    )


def _judge(end: Descended, small: float, journal: Journal) -> tuple[Outcome, str]:
    if end.distance <= small:
        if end.kink:
            return Outcome.stationary_kink, "stationary at a kink"
        return Outcome.stationary_smooth, "stationary, smooth"
    if journal.stopped:
        return Outcome.stopped, "not stationary: the callback stopped the search"
    if end.finished:
        return Outcome.no_progress, "not stationary, as far as the elements found tell"
    return Outcome.budget, "not stationary yet"


def _with_exact_elements(oracle: AbstractOracle, end: Descended, small: float) -> Descended:
    """The elements at the point itself, by enumeration of the branches, where the hull nearby left a doubt."""
    if end.distance <= small or not end.finished or not isinstance(oracle, FunctionOracle):
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
    distance = float(np.linalg.norm(nearest_to_origin(elements)[0]))
    return Descended(end.point, elements, distance, len(elements) > 1, end.finished)
