"""Recognising a LASSO in one strength: what makes the exact path applicable.

A criterion qualifies when every fold is a least-squares loss with an l1 norm whose penalties are `c(theta) v`, with
fixed weights `v` and a strength `c` that is exponential or affine in a scalar `theta`. Then the criterion is a known
function of `c`, affine predictions on known pieces, and no solve is needed to evaluate it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from ...equations import Composite
from ...linear import AbstractDesign
from ...penalties import L1, LeastSquares
from ..criteria.criteria import CrossValidation, HoldOut
from ..criteria.degrees import Exact, penalised_by_response
from ..criteria.information import AbstractInformation, LeaveOneOut
from .path import LassoPath
from .piece import Knot


@dataclass(frozen=True)
class Strength:
    """`c(theta) = exp(origin + rate theta)` where `exponential`, else `origin + rate theta`."""

    exponential: bool
    origin: float
    rate: float

    def at(self, theta: Any) -> Any:
        """`c(theta)`."""
        line = self.origin + self.rate * np.asarray(theta)
        return np.exp(line) if self.exponential else line

    def inverse(self, c: Any) -> Any:
        """The `theta` with `c(theta) = c`."""
        c = np.asarray(c)
        return ((np.log(c) if self.exponential else c) - self.origin) / self.rate

    def derivative(self, c: Any) -> Any:
        """`dc/dtheta`, where the strength is `c`."""
        return self.rate * np.asarray(c) if self.exponential else np.full_like(np.asarray(c, np.float64), self.rate)


class FoldPath:
    """The predictions of one fold along `c`: `P(c) = P_i + (c - c_i) D_i` on the piece below knot `i`.

    Above the first knot only unpenalised features are fitted, and predictions are constant.
    """

    def __init__(self, path: LassoPath, X_test: np.ndarray, y_test: np.ndarray):
        self.path = path
        self.X = np.asarray(X_test, np.float64) - path.x_mean
        self.target = np.asarray(y_test, np.float64)
        self._begin()

    def _begin(self) -> None:
        self.knots: list[Knot] = []
        self.c = np.empty(0)
        self.predictions = np.empty((0, len(self.target)))
        self.directions = np.empty((0, len(self.target)))
        self.active = np.empty(0, int)

    def with_ridge(self, ridge: float) -> FoldPath:
        """The same fold with another ridge, at the top of its path."""
        other = copy.copy(self)
        other.path = self.path.with_ridge(ridge)
        other._begin()
        return other

    def by_ridge(self, c: float, below: bool) -> np.ndarray:
        """The derivative of the predictions `(n_test,)` by the ridge, on one side of `c`."""
        i = int(self.piece(np.array([c]), below)[0])
        if i < 0:
            return np.zeros(len(self.target))
        knot = self.knots[i]
        return self.X @ self.path.ridge_direction(self.path.solution(c, knot), knot.active)

    def extend(self, c_end: float) -> None:
        """Walk the path down to `c_end`."""
        if self.knots and c_end >= self.knots[-1].c:
            return
        # the old end is no kink; the walk starts by reporting it again
        known = max(len(self.knots) - 1, 0)
        new = self.path.advance(min(c_end, self.path.c_max))
        self.knots = self.knots[:known] + new
        self.c = np.array([knot.c for knot in self.knots])
        moves = np.zeros(self.path.p, bool)
        moves[np.concatenate([knot.active for knot in new])] = True
        place = np.cumsum(moves) - 1
        both = np.zeros((2, len(new), np.count_nonzero(moves)))  # values and slopes of the features that move at all
        for i, knot in enumerate(new):
            both[:, i, place[knot.active]] = knot.values, knot.slopes
        ahead = both @ self.X[:, moves].T
        self.predictions = np.concatenate([self.predictions[:known], ahead[0] + self.path.y_mean])
        self.directions = np.concatenate([self.directions[:known], ahead[1]])
        self.active = np.concatenate([self.active[:known], [len(knot.active) for knot in new]])

    def kinks(self) -> np.ndarray:
        """The `c` of every kink found so far."""
        return np.array([knot.c for knot in self.knots if knot.kink])

    def piece(self, c: np.ndarray, below: bool) -> np.ndarray:
        """The index of the knot above each `c` (-1 above the path); on a knot, of the piece below it or above it."""
        count = np.searchsorted(-self.c, -c, side="right" if below else "left")
        return np.minimum(count, len(self.c)) - 1

    def at(self, c: np.ndarray, below: bool) -> tuple[np.ndarray, np.ndarray]:
        """Predictions and their derivative by `c`, of shape `(m, n_test)`, from the piece on one side of each `c`."""
        i = self.piece(c, below)
        inside = np.maximum(i, 0)
        direction = np.where((i >= 0)[:, None], self.directions[inside], 0.0)
        return self.predictions[inside] + (c - self.c[inside])[:, None] * direction, direction

    def degrees(self, c: np.ndarray, below: bool) -> np.ndarray:
        """The degrees of freedom on one side of each `c`: active features, and the intercept."""
        i = self.piece(c, below)
        unpenalised = np.count_nonzero(self.path.v[np.flatnonzero(self.knots[0].coef)] == 0)
        return np.where(i >= 0, self.active[np.maximum(i, 0)], unpenalised) + float(self.path.fit_intercept)

    def coefficients(self, c: float) -> np.ndarray:
        """The solution at `c`."""
        i = int(self.piece(np.array([c]), True)[0])
        return self.path.solution(c, self.knots[i]) if i >= 0 else self.knots[0].coef


def recognise(criterion: Any, theta: float, rebuild: Callable[[float], Any]) -> tuple[Strength, list[FoldPath]] | None:
    """The strength and the paths of every fold, or `None` where the criterion is not a LASSO in one strength.

    `rebuild` turns a number into a hyperparameter of the user's structure and dtype.
    """
    if not isinstance(criterion, HoldOut | CrossValidation | AbstractInformation) or isinstance(criterion, LeaveOneOut):
        return None
    if isinstance(criterion.X, AbstractDesign) or criterion.y.ndim != 1 or criterion.solver is not None:
        return None
    if isinstance(criterion, AbstractInformation) and not isinstance(criterion.degrees, Exact):
        return None
    X, y = np.asarray(criterion.X), np.asarray(criterion.y)
    step = 0.05 * abs(theta) if theta else 0.05

    # rows are put once: models that take them as they are then share them at every theta
    rows = [jax.device_put((X[fold.train], y[fold.train])) for fold in criterion.folds]

    def problems(value: float) -> list[Any]:
        hyper = rebuild(value)
        return [criterion.problem(X, y, hyper) for X, y in rows]

    here = problems(theta)
    if not all(_is_lasso(problem) for problem in here):
        return None
    if isinstance(criterion, AbstractInformation):
        hyper = rebuild(theta)
        if penalised_by_response(lambda y: criterion.problem(criterion.X, y, hyper), criterion.y):
            return None  # its degrees of freedom are not the number of features
    samples = [(theta, here)]
    for value in (theta + step, theta - step, theta + 2 * step):
        if len(samples) == 3:
            break
        try:
            samples.append((value, problems(value)))
        except ValueError:  # outside the model's domain, such as a negative penalty
            continue
    alphas = [np.array([_strengths(problem) for problem in problems]) for _, problems in samples]
    reference = np.unravel_index(int(np.argmax(alphas[0])), alphas[0].shape)
    unit = alphas[0][reference]
    if unit <= 0 or len(samples) < 3:
        return None
    tolerance = 100 * float(np.finfo(samples[0][1][0].smooth.X.dtype).eps)
    for (_, problems_there), alpha in zip(samples[1:], alphas[1:], strict=True):
        if not all(_same_data(a, b) for a, b in zip(here, problems_there, strict=True)):
            return None
        if not np.allclose(alpha * unit, alphas[0] * alpha[reference], rtol=tolerance, atol=0):
            return None
    strength = _fit(
        np.array([t for t, _ in samples]), np.array([a[reference] for a in alphas], np.float64), step, tolerance
    )
    if strength is None:
        return None
    paths = []
    for problem, alpha, fold in zip(here, alphas[0], criterion.folds, strict=True):
        smooth = problem.smooth
        path = LassoPath(np.asarray(smooth.X), np.asarray(smooth.y), alpha / unit, smooth.fit_intercept)
        paths.append(FoldPath(path, X[fold.test], y[fold.test]))
    return strength, paths


def _is_lasso(problem: Any) -> bool:
    return (
        isinstance(problem, Composite)
        and type(problem.smooth) is LeastSquares
        and type(problem.penalty) is L1
        and isinstance(problem.smooth.X, jax.Array)
        and problem.smooth.sample_weight is None
    )


def _strengths(problem: Composite) -> np.ndarray:
    alpha = np.asarray(problem.penalty.alpha, np.float64)  # type: ignore[attr-defined]
    return np.broadcast_to(alpha, (problem.smooth.X.shape[1],))  # type: ignore[attr-defined]


def _same_data(a: Any, b: Any) -> bool:
    if not _is_lasso(b) or a.smooth.fit_intercept != b.smooth.fit_intercept:
        return False
    same = [
        one is two or np.array_equal(np.asarray(one), np.asarray(two))
        for one, two in ((a.smooth.X, b.smooth.X), (a.smooth.y, b.smooth.y))
    ]
    return all(same)


def _fit(theta: np.ndarray, c: np.ndarray, step: float, tolerance: float) -> Strength | None:
    """The exponential or affine map through the samples, `None` where neither fits within rounding."""
    for exponential in (True, False):
        value = np.log(c) if exponential and (c > 0).all() else c
        rate = (value[1] - value[0]) / (theta[1] - theta[0])
        # most rates are round numbers (1, log 10, an alpha_max): the difference quotient only knows them to eps / step
        rounding = tolerance * (1 + float(np.max(np.abs(value)))) / step
        if abs(rate - np.round(rate)) <= rounding and np.round(rate) != 0:
            rate = np.round(rate)
        errors = value[0] + rate * (theta - theta[0]) - value
        if np.max(np.abs(errors)) <= rounding * step and abs(rate) > rounding:
            return Strength(exponential and bool((c > 0).all()), float(value[0] - rate * theta[0]), float(rate))
    return None
