"""The linear system of a cone program on its face, factorised on the host.

With the Jacobian `D` of the projection, the linearised optimality system

    P dx + A^T (D - I) dv = r,   A dx + D dv = t

becomes, in `dx` and `dy = (D - I) dv`, an equality-constrained least-squares problem: hard rows `C dx = t_h`, and soft
rows as springs of stiffness `W`, which join the Hessian `H = P + B^T W B`. Then `dv = t - A dx - dy`. The transposed
system `P u + A^T w = a`, `(D - I) A u + D w = c` is the same one with `r = a - A^T c`, `t = -c`, and `w = c + dy`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .condensed_system import CondensedSystem
from .dependent_equalities import WithoutDependence, dependences, without
from .faces import Face
from .sparse_system import SparseSystem

System = CondensedSystem | SparseSystem | WithoutDependence

SMALL = 200  # unknowns up to which dense linear algebra beats the bookkeeping of a sparse one
FULL = 0.05  # the share of entries from which a system counts as full
LARGE = 4000  # unknowns of a dense system at the most: 128 MiB


def face_system(P: Any, A: Any, face: Face) -> System:
    """The factorised system; its `healthy` tells whether it is regular, `solve(r, t)` gives `(dx, dy)`.

    Equalities that depend on each other leave it regular, if that is all: see `WithoutDependence`.
    """
    made = _factorised(P, A, face)
    found = None if made.healthy else dependences(made.A, face.zero)
    if found is None:
        return made
    left_out, basis = found
    fewer = _factorised(P, A, without(face, left_out))
    return WithoutDependence(fewer, made.A, face.zero, basis) if fewer.healthy else made


def _factorised(P: Any, A: Any, face: Face) -> CondensedSystem | SparseSystem:
    n = A.shape[1]
    hard = face.hard[A.indices]
    alone = int(np.sum(np.bincount(hard[hard >= 0], minlength=face.hard_count) == 1))  # rows that fix a variable
    total = n + face.hard_count - 2 * min(alone, n) + sum(block.rows[0] for block in face.turned)
    entries = (
        A.nnz + (0 if P is None else P.nnz) + sum(sum(block.rows) * (block.stop - block.start) for block in face.turned)
    )
    if total <= SMALL or (total <= LARGE and entries > FULL * total**2):
        return CondensedSystem(P, A, face)
    return SparseSystem(P, A, face)
