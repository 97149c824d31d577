"""Newton's method on the reduced optimality equation of a cone program, on the host."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .chosen_system import by_products
from .faces import EPS, Face, face
from .iterative_system import IterativeSystem
from .program import ConePoint, ConeProgram
from .recent_systems import RECENT
from .system import filled
from .thresholds import THRESHOLDS


class PolishedPoint(NamedTuple):
    """The point, its residual, whether its face leaves `x` no direction that costs nothing, and if rows depend."""

    x: np.ndarray
    v: np.ndarray
    residual: float
    unique: bool
    dependent: bool


def polished(program: ConeProgram, start: ConePoint, steps: int, *, last: bool) -> PolishedPoint:
    """The point after at most `steps` semismooth Newton steps from `(x, s - y)`, taken only if the residual falls.

    The residual is the norm of `(P x + q + A^T (s - v), A x + s - b)` with `s` the projection of `v`. With large
    semidefinite cones the steps are found by products, and by factors, at a multiple of the cost, only where that fails
    and the start is the `last` one, not to be had nearer.
    """
    P, A, q, b = program.P, filled(program.A), program.q, program.b
    where, exponents = program.where, program.exponents
    AT = A.T

    def residual(x: np.ndarray, v: np.ndarray, near: np.ndarray) -> tuple[Face, np.ndarray, np.ndarray, float, float]:
        here = face(where, exponents, v, near)
        Px, Ax, pull = 0 if P is None else P @ x, A @ x, AT @ (here.slack - v)
        r, t = Px + q + pull, Ax + here.slack - b
        # what rounding alone leaves is judged by the terms that were added up, not by their sum
        scale = sum(float(np.sqrt(np.vdot(part, part))) for part in (Px, q, pull, Ax, here.slack, b))
        return here, r, t, float(np.sqrt(r @ r + t @ t)), EPS * float(scale)

    x, v = start.x, start.s - start.y
    here, r, t, size, rounding = residual(x, v, start.s)
    unique, dependent = True, False
    iterative = by_products(where)
    for step in range(steps):
        if step and not size > 1e3 * rounding:
            break
        system = IterativeSystem(P, program.A, here) if iterative else RECENT.system(P, program.A, here)
        dependent = not system.healthy
        unique = not dependent or system.unique()
        before = size
        for _ in range(THRESHOLDS.chords):  # the same factors serve as long as they gain three digits
            dx, dy = system.solve(-r, -t)
            if not (np.isfinite(dx).all() and np.isfinite(dy).all()):
                break
            new_x, new_v = x + dx, v - t - A @ dx - dy
            there, new_r, new_t, new_size, rounding = residual(new_x, new_v, here.slack)
            if not new_size < size:
                break
            x, v, here, r, t = new_x, new_v, there, new_r, new_t
            size, previous = new_size, size
            if size > 1e-3 * previous or not size > 4 * rounding:
                break
        # Near the solution a step squares the residual. One that hardly gains is at rounding, on the wrong face, or,
        # with products alone, too inexact: only the last is mended, by factors.
        if size > 0.5 * before:
            if not (iterative and last and size > 1e5 * rounding):
                break
            iterative = False
    return PolishedPoint(x, v, size, unique, dependent)
