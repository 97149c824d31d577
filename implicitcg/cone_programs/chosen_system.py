"""Which system a face gets: condensed and dense, with every row and sparse, without what depends, or by products."""

from __future__ import annotations

from typing import Any

import numpy as np

from .condensed_system import CondensedSystem
from .dependence import WithoutDependence, dependences, without
from .faces import Face
from .program import Layout
from .sparse_system import SparseSystem
from .system import ConeSystem
from .thresholds import THRESHOLDS


def by_products(where: Layout) -> bool:
    """Whether a semidefinite cone is so large that factors cost a multiple of what `IterativeSystem` does."""
    return any(order > THRESHOLDS.products_order for _, _, order in where.matrices)


def factorised(P: Any, A: Any, face: Face) -> ConeSystem:
    """The factorised system; `P` (or `None`) and `A` are in SciPy's compressed columns.

    Equalities that depend on each other leave it regular, if that is all: see `WithoutDependence`.
    """
    made = _dense_or_sparse(P, A, face)
    found = None if made.healthy else dependences(made.A, face.zero)
    if found is None:
        return made
    left_out, basis = found
    fewer = _dense_or_sparse(P, A, without(face, left_out))
    return WithoutDependence(fewer, made.A, face.zero, basis) if fewer.healthy else made


def _dense_or_sparse(P: Any, A: Any, face: Face) -> ConeSystem:
    n = A.shape[1]
    hard = face.hard[A.indices]
    alone = int(np.sum(np.bincount(hard[hard >= 0], minlength=face.hard_count) == 1))  # rows that fix a variable
    total = n + face.hard_count - 2 * min(alone, n) + sum(block.rows[0] for block in face.turned)
    given = A.nnz + (0 if P is None else P.nnz)
    entries = given + sum(sum(block.rows) * (block.stop - block.start) for block in face.turned)
    full = total <= THRESHOLDS.full_unknowns and entries > THRESHOLDS.full * total**2
    dense = total <= THRESHOLDS.factorised_dense or full
    return CondensedSystem(P, A, face) if dense else SparseSystem(P, A, face)
