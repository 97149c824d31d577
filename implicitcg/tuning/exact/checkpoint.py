"""What a checkpoint keeps of a walk along exact paths, bit for bit: a resumed walk is the same."""

from __future__ import annotations

import numpy as np

from .fold_path import FoldPath
from .piece import Knot


def state(folds: list[FoldPath]) -> dict[str, np.ndarray]:
    """The state of every fold's path."""
    return {f"{k}.{name}": array for k, fold in enumerate(folds) for name, array in _state(fold).items()}


def restore(folds: list[FoldPath], arrays: dict[str, np.ndarray]) -> None:
    """Put the paths where they were, if this is their state."""
    if "0.knots" in arrays:  # else the evaluations of a search by solves, after a path that broke
        for k, fold in enumerate(folds):
            _restore(fold, {name.split(".", 1)[1]: a for name, a in arrays.items() if name.startswith(f"{k}.")})


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
