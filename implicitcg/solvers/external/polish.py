"""Newton's method on the reduced optimality equation of a cone program, on the host."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .cone_faces import Face, Layout, face
from .reduced_system import ReducedSystem


class Polished(NamedTuple):
    """The point, its residual, and whether its face leaves `x` no direction that costs nothing."""

    x: np.ndarray
    v: np.ndarray
    residual: float
    unique: bool


def polish(
    program: Any, where: Layout, exponents: np.ndarray, x: np.ndarray, s: np.ndarray, y: np.ndarray, steps: int
) -> Polished:
    """`(x, v = s - y)` after at most `steps` semismooth Newton steps, each taken only if the residual falls, and the residual.

    The residual is the norm of `(P x + q + A^T (s - v), A x + s - b)` with `s` the projection of `v`.
    """
    P, A, AT = program.P, program.A, program.A.T

    def residual(x: np.ndarray, v: np.ndarray, near: np.ndarray) -> tuple[Face, np.ndarray, np.ndarray, float]:
        here = face(where, exponents, v, near)
        r = program.q + AT @ (here.slack - v) + (0 if P is None else P @ x)
        t = A @ x + here.slack - program.b
        return here, r, t, float(np.sqrt(r @ r + t @ t))

    v = s - y
    here, r, t, size = residual(x, v, s)
    enough = 4 * np.finfo(float).eps * (1 + np.linalg.norm(program.q) + np.linalg.norm(program.b))
    unique = True
    for step in range(steps):
        if not size > enough and step:
            break
        system = ReducedSystem(P, A, here)
        if not system.healthy:
            unique = system.unique()
            if not unique or system.pseudo_inverse is None:
                break
        dx, dy = system.solve(-r, -t)
        new_x, new_v = x + dx, v - t - A @ dx - dy
        there, new_r, new_t, new_size = residual(new_x, new_v, here.slack)
        if not new_size < size:
            break
        x, v, here, r, t = new_x, new_v, there, new_r, new_t
        size, last = new_size, size
        if size > 0.1 * last:
            break
    return Polished(x, v, size, unique)
