"""What of the estimators was chosen by measuring: on two cores of a shared x86 server, in 2026."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """Sizes up to which compiled programs are shared, and budgets that suffice on the benchmarks' data."""

    dense: int = 4_000_000  # entries up to which a sparse X is filled: 32 MB, and every method is quicker on it
    columns: int = 32  # up to here data are small, and filled up so that one program serves them all
    rows: tuple[int, ...] = (256,)  # the same for rows: up to the next of these
    rows_of_vectors: tuple[int, ...] = (64, 256)  # of support vectors, where the work of a solve grows with the rows
    evaluations: tuple[int, int] = (1000, 300)  # of the criterion: of one hyperparameter, and of several
    evaluations_of_vectors: tuple[int, int] = (1000, 150)  # of support vectors, whose search begins with a grid


THRESHOLDS = Thresholds()
