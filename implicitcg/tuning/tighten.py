"""Inexact inner solves: loose while far from the minimum, tight near it, and a word on what the looseness costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from .result import TuneResult
from .tune import tune

CHECK = 1e-2  # how much tighter the end is solved once more, to see what is left of the error


def tighten(
    criterion: Callable[[Any, float], Any],
    theta0: Any,
    tolerances: Sequence[float] = (1e-2, 1e-4, 1e-6),
    **options: Any,
) -> TuneResult:
    """Minimise a criterion whose inner problems are solved to a tolerance that tightens from stage to stage.

    Every stage is an `icg.tune` from the end of the one before, which it leaves when the hypergradient is as small,
    relative to the criterion, as the tolerance of the solves. At the end the criterion and its gradient are evaluated
    once more, a hundred times tighter. Where errors are proportional to the tolerance, the differences are the errors
    of the last stage to one per cent; they are told in the result's notes, and the tighter value is the one returned.

    Args:
        criterion: `(theta, tolerance) -> scalar`, which hands `tolerance`, a Python number, to its solver.
        theta0: where to start.
        tolerances: of the stages, falling.
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

    Source: Pedregosa, Hyperparameter optimization with approximate gradient, ICML 2016.
    """
    falling = [float(tolerance) for tolerance in tolerances]
    if not falling or min(falling) <= 0 or any(a <= b for a, b in pairwise(falling)):
        raise ValueError(f"tolerances={tuple(tolerances)} must be positive numbers, each below the one before.")
    budget, theta = options.pop("max_solves", None) or 1000, theta0
    history, solves, seconds, found, last = [], 0, 0.0, None, falling[0]
    for tolerance in falling:
        if found is not None and solves >= budget:
            break
        found = tune(
            lambda theta, tolerance=tolerance: criterion(theta, tolerance),
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
    ends = [
        jax.jit(jax.value_and_grad(lambda theta, tolerance=tolerance: criterion(theta, tolerance)))(theta)
        for tolerance in (last, CHECK * last)
    ]
    values = [float(value) for value, _ in ends]
    gradients = [np.asarray(ravel_pytree(gradient)[0], np.float64) for _, gradient in ends]
    change, turn = abs(values[0] - values[1]), float(np.linalg.norm(gradients[0] - gradients[1]))
    note = (
        f"Solved {1 / CHECK:g} times tighter than {last:g}, the criterion changes by {change:.2g} and its gradient by "
        f"{turn:.2g}: the error of the last stage."
    )
    return dataclasses.replace(
        found, value=values[1], history=history, solves=solves + 2, seconds=seconds, notes=[*found.notes, note]
    )
