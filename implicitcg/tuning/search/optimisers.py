"""How several hyperparameters are searched: each way is an object that moves a `Descent` to its end."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np

from ...base import needs
from .descent import RADII, Accepted, Descended, Evaluate, conclude, descend, start_of
from .oracle import Point

__all__ = ["AbstractSearch", "Optax", "QuasiNewton"]


class AbstractSearch(abc.ABC):
    """From a point to a better one, within a box."""

    @abc.abstractmethod
    def run(
        self,
        evaluate: Evaluate,
        start: Point,
        box: tuple[np.ndarray, np.ndarray],
        tol: float,
        finish: Callable[[], bool],
        accepted: Accepted,
        seed: int,
    ) -> Descended:
        """The end of the search; see `descent.descend` for the arguments."""


@final
@dataclass(frozen=True)
class QuasiNewton(AbstractSearch):
    """Limited-memory BFGS with a weak Wolfe line search, and at kinks steps along the smallest hypergradient.

    The default: every step lowers the criterion, and it ends with a stationarity test.
    """

    def run(
        self,
        evaluate: Evaluate,
        start: Point,
        box: tuple[np.ndarray, np.ndarray],
        tol: float,
        finish: Callable[[], bool],
        accepted: Accepted,
        seed: int,
    ) -> Descended:
        return descend(evaluate, start, box, tol, finish, accepted, seed)


@final
@dataclass(frozen=True)
class Optax(AbstractSearch):
    """Any optimiser of Optax: `icg.tuning.Optax(optax.adam(0.1), steps=200)`.

    One evaluation a step and no line search, so the criterion may rise; the best point seen is kept and tested. It is
    made for thousands of hyperparameters, or a criterion that is evaluated loosely.

    Args:
        optimiser: an `optax.GradientTransformation` that needs gradients only.
        steps: how many, at most.
    """

    optimiser: Any
    steps: int = 200

    def __post_init__(self) -> None:
        if not (hasattr(self.optimiser, "init") and hasattr(self.optimiser, "update")):
            raise TypeError("`optimiser` must be one of Optax, such as optax.adam(0.1).")
        if self.steps < 1:
            raise ValueError(f"steps={self.steps}: at least one is needed.")

    def run(
        self,
        evaluate: Evaluate,
        start: Point,
        box: tuple[np.ndarray, np.ndarray],
        tol: float,
        finish: Callable[[], bool],
        accepted: Accepted,
        seed: int,
    ) -> Descended:
        del seed
        optax = needs("optax", "optim", "icg.tuning.Optax")
        best = start_of(start, box)
        theta: Any = jnp.asarray(start.theta)
        state, point = self.optimiser.init(theta), start
        loose = jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow")  # Optax needs them
        small = tol * max(abs(start.value), np.finfo(float).tiny)
        for _ in range(self.steps):
            if finish() or best.slope <= small:
                break
            with loose[0], loose[1]:
                updates, state = self.optimiser.update(jnp.asarray(point.gradient, theta.dtype), state, theta)
            stepped: Any = optax.apply_updates(theta, updates)
            theta = jnp.clip(stepped, *(jnp.asarray(end, stepped.dtype) for end in box))
            trial = evaluate(np.asarray(theta, np.float64), point)
            if not trial.usable or not np.isfinite(trial.gradient).all():
                break  # no gradient to go on with; the notes say why
            point = trial
            best.see(point)
            if point.value < best.point.value:
                best.point = point
                accepted(point, best.slope, "best step so far")
        return conclude(best, float(RADII[-1]), best.slope <= small)
