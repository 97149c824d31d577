"""Factorised systems of cone programs that were made a moment ago, found again by their numbers.

The last system of Newton's method is that of the derivative where the face is polyhedral, and the rows of a Jacobian
share one. A callback has no place to keep it, so it is kept here. This is no state: what is found is what would be made
anew, since the key is a digest of all the data.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import Any

import numpy as np

from .chosen_system import factorised
from .faces import Face
from .system import ConeSystem
from .thresholds import THRESHOLDS


class RecentSystems:
    """The systems used last, up to `room` bytes of factors; it may be asked from several threads."""

    def __init__(self, room: int = THRESHOLDS.kept_bytes):
        self._room, self._used = room, 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, ConeSystem] = OrderedDict()

    def system(self, P: Any, A: Any, face: Face) -> ConeSystem:
        """`factorised(P, A, face)`, or the one that was made of the same numbers."""
        key = digest(P, A, face)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = factorised(P, A, face)
        with self._lock:
            if key not in self._kept and made.bytes <= self._room:
                self._kept[key] = made
                self._used += made.bytes
                while self._used > self._room:
                    self._used -= self._kept.popitem(last=False)[1].bytes
        return made


def digest(P: Any, A: Any, face: Face) -> bytes:
    """A key of all numbers that the system is made of."""
    arrays: list[np.ndarray] = [np.array([*A.shape, face.hard_count, P is None])]
    for matrix in (A,) if P is None else (A, P):
        arrays += [matrix.data, matrix.indices, matrix.indptr]
    arrays += [face.hard, face.hard_factor, face.soft, face.soft_factor, face.weight]
    for block in face.rounds:
        arrays += [np.array([block.start, block.stop, block.weight]), block.ray, block.normal]
    for block in face.turned:
        arrays += [np.array([block.start, block.stop]), block.vectors, block.slopes]
    found = hashlib.blake2b(digest_size=16)
    for array in arrays:
        found.update(array.size.to_bytes(8))
        found.update(array.tobytes())
    return found.digest()


RECENT = RecentSystems()
