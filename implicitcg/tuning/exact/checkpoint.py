"""Keeping the walk along exact paths in a file that is always whole, bit for bit: a resumed walk is the same."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from ..search.checkpoint import FORMAT, INTERVAL, read, write
from .fold_path import FoldPath
from .piece import Knot


class PathLog:
    """The state of every fold's path, kept in an `.npz` file; without a `path` nothing is kept.

    Args:
        path: where it is kept.
        identity: what the search is about; a file about something else is refused.
    """

    def __init__(self, path: str | os.PathLike[str] | None, identity: dict[str, Any]):
        self.path = None if path is None else Path(path)
        self.identity = {"format": FORMAT, **identity}
        self._written = time.perf_counter()

    def restore(self, folds: list[FoldPath]) -> None:
        """Put the paths where the file left them, if there is one.

        Raises:
            ValueError: the file is no checkpoint, or belongs to another search.
        """
        if self.path is None or not self.path.exists():
            return
        arrays, _ = read(self.path, self.identity)
        if "0.knots" in arrays:  # else the evaluations of a search by solves, after a path that broke
            for k, fold in enumerate(folds):
                _restore(fold, {name.split(".", 1)[1]: a for name, a in arrays.items() if name.startswith(f"{k}.")})

    def put(self, folds: list[FoldPath]) -> None:
        """Bring the file up to date, once a second."""
        if self.path is not None and time.perf_counter() - self._written > INTERVAL:
            self.flush(folds)

    def flush(self, folds: list[FoldPath]) -> None:
        """Bring the file up to date."""
        if self.path is None or not all(fold.knots for fold in folds):
            return
        arrays = {f"{k}.{name}": array for k, fold in enumerate(folds) for name, array in _state(fold).items()}
        write(self.path, self.identity, arrays, [])
        self._written = time.perf_counter()


def _state(fold: FoldPath) -> dict[str, np.ndarray]:
    path = fold.path
    return {
        "knots": np.array([(knot.c, knot.kink) for knot in fold.knots]),
        "sizes": fold.active,
        "features": np.concatenate([knot.active for knot in fold.knots]),
        "values": np.concatenate([knot.values for knot in fold.knots]),
        "slopes": np.concatenate([knot.slopes for knot in fold.knots]),
        "walk": np.array([path.c, path.at_kink, path.swaps, path.pieces]),
        **path.support.state(),
        "near": path.near.index,
        "predictions": fold.predictions,
        "directions": fold.directions,
    }


def _restore(fold: FoldPath, stored: dict[str, np.ndarray]) -> None:
    path = fold.path
    c, at_kink, swaps, pieces = stored["walk"]
    path.c, path.at_kink, path.swaps, path.pieces = float(c), bool(at_kink), int(swaps), int(pieces)
    path.support.restore(stored)
    path.near.restore(stored["near"])
    ends = np.cumsum(stored["sizes"])[:-1]
    features, values, slopes = (np.split(stored[name], ends) for name in ("features", "values", "slopes"))
    fold.knots = [
        Knot(float(c), *part, path.p, bool(kink))
        for (c, kink), part in zip(stored["knots"], zip(features, values, slopes, strict=True), strict=True)
    ]
    fold.c, fold.active = stored["knots"][:, 0], stored["sizes"]
    fold.predictions, fold.directions = stored["predictions"], stored["directions"]
