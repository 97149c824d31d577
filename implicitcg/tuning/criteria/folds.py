"""Folds: rows to fit on and rows to judge on, each a choice of rows or a weight for every row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np

from ...linear import design


class Fold(NamedTuple):
    """Rows to fit on and rows to judge on.

    Integers are the numbers of rows, each of which counts once; floats are weights, one for every row of the data. With
    weights all folds have one shape, and one compiled program serves them all. Those to judge with sum to one, unless
    losses are to be counted in another unit.
    """

    train: np.ndarray
    test: np.ndarray


@runtime_checkable
class Splitter(Protocol):
    """What deals folds, as scikit-learn's splitters do."""

    def split(self, X: Any, y: Any) -> Iterable[tuple[Any, Any]]:
        """Pairs of rows to fit on and to judge on."""
        ...


def taken(X: Any, y: Any, rows: Any) -> tuple[Any, Any, Any]:
    """The data of one side of a fold: the rows chosen and no weights, or all rows and their weights; traceable."""
    if jnp.issubdtype(rows.dtype, jnp.floating):
        return X, y, rows
    return design.take_rows(X, rows), jnp.take(y, rows, axis=0), None


def weighted(folds: Iterable[tuple[Any, Any]], sample_weight: np.ndarray) -> list[Fold]:
    """Folds of rows that count by their weights; a row that a fold repeats counts as often.

    Raises:
        ValueError: a fold without weight on one of its sides.
    """
    made = []
    for k, sides in enumerate(folds):
        fold = Fold(*np.zeros((2, len(sample_weight))))
        for side, rows in zip(fold, sides, strict=True):
            np.add.at(side, rows, sample_weight[rows])
        if not (fold.train.sum() > 0 and fold.test.sum() > 0):
            raise ValueError(
                f"Fold {k} has no weight to fit or to judge with: its rows have sample_weight 0. Leave such rows out, "
                "or shuffle the folds with cv=KFold(..., shuffle=True)."
            )
        made.append(Fold(*(side.astype(sample_weight.dtype) for side in (fold.train, fold.test / fold.test.sum()))))
    return made


def split(cv: int | Any, X: np.ndarray, y: np.ndarray) -> list[Fold]:
    """The folds that `cv` asks for.

    Raises:
        ValueError: fewer than two folds, more folds than rows, an empty or out-of-range fold.
    """
    n = len(y)
    if isinstance(cv, int | np.integer) and not isinstance(cv, bool):
        if not 2 <= cv <= n:
            raise ValueError(f"cv={cv} folds of {n} rows: choose between 2 and {n}.")
        tests: Iterable[np.ndarray] = np.array_split(np.arange(n), int(cv))
        return [Fold(np.setdiff1d(np.arange(n), test), test) for test in tests]
    pairs: Any = cv.split(X, y) if isinstance(cv, Splitter) else cv
    try:
        folds = [Fold(np.arange(n)[train], np.arange(n)[test]) for train, test in pairs]
    except (TypeError, ValueError, IndexError) as error:
        raise ValueError(
            f"cv={cv!r} is neither a number of folds, nor a scikit-learn splitter, nor a list of (train, test) index "
            f"arrays of {n} rows: {error}"
        ) from error
    if not folds or any(len(fold.train) == 0 or len(fold.test) == 0 for fold in folds):
        raise ValueError("Some fold has no row to fit on or none to judge on; every fold needs both.")
    return folds
