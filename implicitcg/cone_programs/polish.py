"""Newton's method on the reduced optimality equation of a cone program, on the host."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .condensed_system import filled
from .faces import Face, face
from .iterative_system import IterativeSystem
from .recent_systems import RECENT
from .semidefinite import ORDER

CHORDS = 4
EPS = float(np.finfo(np.float64).eps)


class Polished(NamedTuple):
    """The point, its residual, whether its face leaves `x` no direction that costs nothing, and if rows depend."""

    x: np.ndarray
    v: np.ndarray
    residual: float
    unique: bool
    dependent: bool


def polish(program: Any, x: np.ndarray, s: np.ndarray, y: np.ndarray, steps: int, *, last: bool) -> Polished:
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
        scale = sum(float(np.sqrt(np.vdot(part, part))) for part in (Px, q, pull, Ax, here.slack, b))
        return here, r, t, float(np.sqrt(r @ r + t @ t)), EPS * float(scale)

    v = s - y
    here, r, t, size, rounding = residual(x, v, s)
    unique, dependent = True, False
    iterative = any(order > ORDER for _, _, order in where.matrices)
    for step in range(steps):
        if step and not size > 1e3 * rounding:
            break
        system = IterativeSystem(P, program.A, here) if iterative else RECENT.system(P, program.A, here)
        dependent = not system.healthy
        unique = not dependent or system.unique()
        before = size
        for _ in range(CHORDS):  # the same factors serve as long as they gain three digits
            dx, dy = system.solve(-r, -t)
            if not (np.isfinite(dx).all() and np.isfinite(dy).all()):
                break
            new_x, new_v = x + dx, v - t - A @ dx - dy
            there, new_r, new_t, new_size, rounding = residual(new_x, new_v, here.slack)
            if not new_size < size:
                break
            x, v, here, r, t = new_x, new_v, there, new_r, new_t
            size, last = new_size, size
            if size > 1e-3 * last or not size > 4 * rounding:
                break
        if size > 0.5 * before:
            if not (iterative and last and size > 1e5 * rounding):
                break
            iterative = False
    return Polished(x, v, size, unique, dependent)
