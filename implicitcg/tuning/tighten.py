"""Inexact inner solves: loose while far from the minimum, tight near it, and a word on what the looseness costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from ..core import AbstractSolver
from ..solvers import ProximalGradient
from .criteria.accuracy import NotProven, proven
from .criteria.criterion import AbstractCriterion
from .result import Accuracy, TuneResult
from .tune import tune

CHECK = 1e-2  # how much tighter the end is solved once more, to see what is left of the error


def tighten(
    criterion: AbstractCriterion | Callable[[Any, float], Any],
    theta0: Any,
    tolerances: Sequence[float] = (1e-2, 1e-4, 1e-6),
    solver: Callable[[float], AbstractSolver] = lambda tolerance: ProximalGradient(tolerance=tolerance),
    **options: Any,
) -> TuneResult:
    """Minimise a criterion whose inner problems are solved to a tolerance that tightens from stage to stage.

    Every stage is an `icg.tune` from the end of the one before, which it leaves when the hypergradient is as small,
    relative to the criterion, as the tolerance of the solves. The result says in `accuracy` what the looseness of the
    last stage may have cost. For hold-out and cross-validation of a LASSO or an elastic net that is a proven bound,
    from the duality gaps (formulas in `implicitcg.tuning.criteria.accuracy`). For anything else it is an estimate:
    nothing is known about a function but its values, so the criterion and its gradient are evaluated once more, a
    hundred times tighter. Where errors are proportional to the tolerance, the differences are the errors to one per
    cent, and the tighter value is the one returned.

    Args:
        criterion: one of `icg.tuning`, or `(theta, tolerance) -> scalar`, which hands `tolerance`, a Python number, to
            its solver.
        theta0: where to start.
        tolerances: of the stages, falling.
        solver: the inner solver for a tolerance, where the criterion is one of `icg.tuning`.
        **options: of `icg.tune`, for every stage; `max_solves` is the budget of all together.

    Returns:
        The `TuneResult` of the last stage, with the history and the work of all.

    Raises:
        ValueError: tolerances that are not positive and falling. What `icg.tune` raises.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> def criterion(theta, tolerance):
        ...     solver = icg.solvers.FixedPointIteration(tolerance=tolerance)
        ...     z = icg.solve(icg.fixed_point(lambda z, t: jnp.cos(z) / 2 + t, theta), solver).value
        ...     return jnp.square(z - 1) + 1
        >>> found = icg.tuning.tighten(criterion, jnp.asarray(0.2))
        >>> round(float(found.theta), 3)  # 1 - cos(1) / 2
        0.73
        >>> found.accuracy.proven
        False

    Source: Pedregosa, Hyperparameter optimization with approximate gradient, ICML 2016.
    """
    falling = [float(tolerance) for tolerance in tolerances]
    if not falling or min(falling) <= 0 or any(a <= b for a, b in pairwise(falling)):
        raise ValueError(f"tolerances={tuple(tolerances)} must be positive numbers, each below the one before.")

    def at(tolerance: float) -> Callable[[Any], Any]:
        if isinstance(criterion, AbstractCriterion):
            return criterion.solved_by(solver(tolerance))
        function: Any = criterion
        return lambda theta: function(theta, tolerance)

    budget, theta = options.pop("max_solves", None) or 1000, theta0
    history, solves, seconds, found, last = [], 0, 0.0, None, falling[0]
    for tolerance in falling:
        if found is not None and solves >= budget:
            break
        found = tune(
            at(tolerance),
            theta,
            max_solves=budget - solves,
            tol=tolerance,
            **options,
        )
        stage = f"tolerance {tolerance:g}: "
        history += [
            dataclasses.replace(s, solves=s.solves + solves, seconds=s.seconds + seconds, note=stage + s.note)
            for s in found.history
        ]
        theta, solves, seconds, last = found.theta, solves + found.solves, seconds + found.seconds, tolerance
    assert found is not None
    value, accuracy, more = _judged(criterion, at, last, theta)
    return dataclasses.replace(
        found, value=value, accuracy=accuracy, history=history, solves=solves + more, seconds=seconds
    )


def _judged(criterion: Any, at: Callable[[float], Any], last: float, theta: Any) -> tuple[float, Accuracy, int]:
    """The criterion at the end, by a bound or else by tighter solves; how accurate that is, and the solves it took."""
    folds, reason = 1, "a function is known by its values only"
    if isinstance(criterion, AbstractCriterion):
        folds = len(criterion.folds)
        try:
            return *proven(at(last), theta), folds
        except NotProven as why:
            reason = str(why)
    ends = [jax.jit(jax.value_and_grad(at(tolerance)))(theta) for tolerance in (last, CHECK * last)]
    values = [float(value) for value, _ in ends]
    gradients = [np.asarray(ravel_pytree(gradient)[0], np.float64) for _, gradient in ends]
    change, turn = abs(values[0] - values[1]), float(np.linalg.norm(gradients[0] - gradients[1]))
    accuracy = Accuracy(change, turn, False, f"an estimate by solves {1 / CHECK:g} times tighter: {reason}")
    return values[1], accuracy, 2 * folds
