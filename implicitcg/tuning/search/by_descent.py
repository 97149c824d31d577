"""The result of a descent in the user's hyperparameters, with the stationarity test at its end."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ...nonsmooth import conservative_jacobian
from ...nonsmooth.hull import distinct_points, nearest_to_origin
from ..result import Outcome, TuneResult
from ..strategy import AbstractStrategy, Task
from .descent import Descended, start_of
from .judge import judge_hull
from .optimisers import QuasiNewton
from .oracle import AbstractOracle, FunctionOracle, Point, curve_through
from .starts import starting_points


class ByDescent(AbstractStrategy):
    """Anything: descend from the start, or from the best of several, and test the end."""

    def applies(self) -> bool:
        return True

    def run(self) -> TuneResult:
        """The result.

        Raises:
            RuntimeError: the criterion or its gradient cannot be evaluated at the start; with the reason.
        """
        with self.task.oracle() as oracle:
            return _descended(self.task, oracle)


def _descended(task: Task, oracle: AbstractOracle) -> TuneResult:
    journal, coordinates, starts = task.journal, task.coordinates, task.starts
    optimiser, tol = QuasiNewton() if task.search is None else task.search, task.tolerance(exact=False)
    if task.folded is not None:
        coordinates = coordinates.beginning_at(task.folded.nearer(coordinates.start))
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

    chosen, seen, how = starting_points(evaluate, oracle.prefetch, coordinates, starts, task.seed, finish)
    if not chosen:
        raise RuntimeError("The criterion cannot be evaluated at theta0. " + " ".join(journal.notes))
    ends: list[Descended] = []
    for start in chosen:
        if ends and finish():
            break
        accepted(start, start_of(start, box).slope, "start")
        ends.append(optimiser.run(evaluate, start, box, tol, finish, accepted, task.seed))
    end = min(ends, key=lambda end: end.point.value)
    small = tol * max(abs(end.point.value), 1e-3 * abs(chosen[0].value), np.finfo(float).tiny)
    end = _with_exact_elements(oracle, end, small)
    size = float(np.max(np.abs(end.elements), initial=0.0))
    elements = end.elements[distinct_points(end.elements, 1e-5 * size)]
    one_sided = (float(elements.min()), float(elements.max())) if end.point.theta.size == 1 else None
    many = int(end.held.sum())
    ended = Outcome.no_progress if end.finished else Outcome.budget
    verdict = judge_hull(
        elements.squeeze(1) if one_sided else elements,
        end.distance,
        small=small,
        kink=end.kink,
        end=Outcome.stopped if journal.stopped else ended,
        where=f", with {many} of {end.held.size} hyperparameters on their bounds" if many else "",
    )
    scope, curve = "local: the end of a descent from theta0", None
    if starts > 1:
        made = f"best end of {len(ends)} descents" if len(ends) > 1 else "end of the one descent that was begun"
        scope = f"local: the {made}, from {how}"
        curve = curve_through([*seen, end.point]) if one_sided else None
    return journal.result(
        natural(end.point.theta),
        end.point.theta,
        end.point.values,
        verdict,
        scope,
        folded=len(end.point.values) > 1,
        bounds=None if curve is None else (float(curve.theta[0]), float(curve.theta[-1])),
        curve=curve,
        one_sided_slopes=one_sided,
    )


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
