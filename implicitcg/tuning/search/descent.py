"""Hypergradient descent for any number of hyperparameters, with kinks.

Quasi-Newton steps (limited-memory BFGS, weak Wolfe line search) work well on piecewise smooth functions until the
iterates come to a kink that no direction of one gradient can leave. There the gradients seen nearby, on all sides of
the kink, form a sample of the conservative set: minus the smallest element of their hull is a direction of descent for
all of them, and where that element vanishes the point is stationary. The neighbourhood shrinks as it does.

Source: Lewis and Overton, Nonsmooth optimization via quasi-Newton methods, 2013; Burke, Lewis, Overton, A robust
gradient sampling algorithm for nonsmooth, nonconvex optimization, 2005.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from ...nonsmooth.hull import nearest_to_origin
from .oracle import Point

ARMIJO, WOLFE = 1e-4, 0.9
MEMORY = 40  # pairs of the quasi-Newton matrix
NEIGHBOURS = 60  # points whose gradients are kept for the hull
TRIALS = 30  # evaluations in one line search
RADII = np.geomspace(1e-1, 1e-7, 7)  # neighbourhoods of a kink, relative to 1 + the largest |theta_j|

Evaluate = Callable[[np.ndarray, Point | None], Point]
Accepted = Callable[[Point, float, str], None]


@dataclass
class Descent:
    """The state of a search: the best point, the box it stays in, the curvature seen, and the points around it."""

    point: Point
    low: np.ndarray
    high: np.ndarray
    pairs: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    neighbours: list[Point] = field(default_factory=list)

    @property
    def held(self) -> np.ndarray:
        """Which hyperparameters are at a bound that the gradient pushes against."""
        theta, gradient = self.point.theta, self.point.gradient
        return ((theta <= self.low) & (gradient > 0)) | ((theta >= self.high) & (gradient < 0))

    @property
    def gradient(self) -> np.ndarray:
        """The gradient in the hyperparameters that are free to move."""
        return np.where(self.held, 0.0, self.point.gradient)

    @property
    def slope(self) -> float:
        """Its norm."""
        return float(np.linalg.norm(self.gradient))

    def see(self, point: Point) -> None:
        """Remember a point for the hull of gradients."""
        if point.usable and np.isfinite(point.gradient).all():
            self.neighbours = [*self.neighbours, point][-NEIGHBOURS:]

    def around(self, radius: float) -> np.ndarray:
        """The free gradients within `radius` (relative) of the point, its own first, `(N, d)`."""
        reach = radius * (1 + float(np.max(np.abs(self.point.theta))))
        near = [p for p in self.neighbours if float(np.max(np.abs(p.theta - self.point.theta))) <= reach]
        elements = np.stack([self.point.gradient] + [p.gradient for p in near if p is not self.point])
        return np.where(self.held, 0.0, elements)

    def accept(self, point: Point) -> None:
        """Move there, and learn the curvature on the way."""
        step, change = point.theta - self.point.theta, point.gradient - self.point.gradient
        if step @ change > 1e-12 * np.linalg.norm(step) * np.linalg.norm(change):
            self.pairs = [*self.pairs, (step, change)][-MEMORY:]
        self.point = point

    def direction(self) -> np.ndarray:
        """`-H g` by the two-loop recursion; without curvature, the gradient scaled to a step of length one half."""
        q = self.gradient
        if not self.pairs:
            return -q * (0.5 / max(float(np.max(np.abs(q))), np.finfo(float).tiny))
        weights = []
        for s, y in reversed(self.pairs):
            weight = (s @ q) / (s @ y)
            q -= weight * y
            weights.append(weight)
        s, y = self.pairs[-1]
        q *= (s @ y) / (y @ y)
        for (s, y), weight in zip(self.pairs, reversed(weights), strict=True):
            q += (weight - (y @ q) / (s @ y)) * s
        return np.where(self.held, 0.0, -q)


@dataclass(frozen=True)
class Descended:
    """How a descent ended: the point, the gradients tested, the norm of their smallest element, whether at a kink.

    `finished` is false where it was cut short; `held` says which hyperparameters stay on a bound.
    """

    point: Point
    elements: np.ndarray
    distance: float
    kink: bool
    finished: bool
    held: np.ndarray


def descend(
    evaluate: Evaluate,
    start: Point,
    box: tuple[np.ndarray, np.ndarray],
    tol: float,
    finish: Callable[[], bool],
    accepted: Accepted,
    seed: int,
) -> Descended:
    """From `start` to a stationary point; every step lowers the criterion, and `accepted` is told of it.

    Args:
        evaluate: the criterion at a theta.
        start: the first point, evaluated.
        box: the lowest and the highest theta; a step beyond ends on the bound.
        tol: stationary where the hull of gradients comes as near to zero as `tol` times the size of the criterion.
        finish: whether to stop now.
        accepted: called with a new best point, its slope and what kind of step led there.
        seed: of the points sampled around a kink.
    """
    state = start_of(start, box)

    def inside(theta: np.ndarray, near: Point | None) -> Point:
        point = evaluate(np.clip(theta, *box), near)
        # where the derivative was refused there is no way on, however low the value
        return point if np.isfinite(point.gradient).all() else replace(point, usable=False)

    level = 0
    while not finish():
        small = tol * max(abs(state.point.value), 1e-3 * abs(start.value), np.finfo(float).tiny)
        size = state.slope
        if size <= small:
            return Descended(state.point, state.gradient[None], size, False, True, state.held)
        direction = state.direction()
        if state.gradient @ direction < -1e-10 * size * float(np.linalg.norm(direction)):
            trial = _wolfe(inside, state, direction, finish)
            if trial is not None:
                state.accept(trial)
                accepted(trial, state.slope, "quasi-Newton step")
                continue
        moved = False
        while level < len(RADII) and not moved and not finish():
            moved, nearest = _kink_step(inside, state, float(RADII[level]), small, finish, seed + level)
            if moved:
                accepted(state.point, nearest, "step along the smallest element at a kink")
            else:
                level += 1
        if not moved:
            break
        state.pairs.clear()
    return conclude(state, float(RADII[-1]), level >= len(RADII))


def start_of(start: Point, box: tuple[np.ndarray, np.ndarray]) -> Descent:
    """The state at a first point."""
    state = Descent(start, *box)
    state.see(start)
    return state


def conclude(state: Descent, radius: float, finished: bool) -> Descended:
    """The end of a search at its best point, with the hull of the gradients seen within `radius`."""
    elements = state.around(radius)
    nearest = float(np.linalg.norm(nearest_to_origin(elements)[0]))
    return Descended(state.point, elements, nearest, len(elements) > 1, finished, state.held)


def _wolfe(evaluate: Evaluate, state: Descent, direction: np.ndarray, finish: Callable[[], bool]) -> Point | None:
    """A point that satisfies the weak Wolfe conditions, by doubling and bisection; else the best Armijo point found."""
    here = state.point
    slope = float(state.gradient @ direction)
    low, high, length = 0.0, np.inf, 1.0
    best: Point | None = None
    for _ in range(TRIALS):
        if finish():
            break
        trial = evaluate(here.theta + length * direction, here)
        if np.array_equal(trial.theta, here.theta):
            break
        state.see(trial)
        if not trial.value <= here.value + ARMIJO * float(state.gradient @ (trial.theta - here.theta)):
            high = length
        else:
            if trial.value < here.value and (best is None or trial.value < best.value):
                best = trial
            if float(trial.gradient @ (trial.theta - here.theta)) >= WOLFE * length * slope:
                break
            low = length
        length = (low + high) / 2 if np.isfinite(high) else 2 * length
        if high - low <= 1e-9 * high:
            break
    return best


def _kink_step(
    evaluate: Evaluate, state: Descent, radius: float, small: float, finish: Callable[[], bool], seed: int
) -> tuple[bool, float]:
    """Whether a step along the smallest element of the hull within `radius` lowered the criterion; and its norm.

    Every failed attempt adds the gradient that made it fail; random points around are added twice.
    """
    d = len(state.point.theta)
    reach = radius * (1 + float(np.max(np.abs(state.point.theta))))
    random = np.random.default_rng(seed)
    norm = np.inf
    for attempt in range(8):
        nearest, _ = nearest_to_origin(state.around(radius))
        norm = float(np.linalg.norm(nearest))
        if norm <= small:
            return False, norm
        trial = None
        for length in reach / norm * 2.0 ** -np.arange(0, 7, 2):
            if finish():
                return False, norm
            trial = evaluate(state.point.theta - length * nearest, state.point)
            state.see(trial)
            if trial.value < state.point.value - ARMIJO * length * norm**2:
                state.point = trial
                return True, norm
        if attempt in (2, 5):
            for _ in range(min(2 * d, 20)):
                if finish():
                    return False, norm
                shift = random.uniform(-reach, reach, d)
                state.see(evaluate(state.point.theta + shift, state.point))
    return False, norm
