"""What a search is asked to do, and the contract of the ways to do it."""

from __future__ import annotations

import abc
import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from .criteria.criterion import BUDGET, AbstractCriterion
from .result import TuneResult
from .search.checkpoint import Checkpoint, EvaluationLog
from .search.coordinates import Coordinates
from .search.journal import Journal
from .search.optimisers import AbstractSearch
from .search.oracle import AbstractOracle, FoldOracle, FunctionOracle

STATIONARY = 5e-7  # of a hypergradient, relative to the criterion


@dataclass(frozen=True)
class Task:
    """A criterion, where it is searched, the books, and what the user asked for; see `tune` for the options."""

    criterion: Any
    coordinates: Coordinates
    journal: Journal
    tol: float | None = None
    max_solves: int | None = None
    checkpoint: str | os.PathLike[str] | None = None
    search: AbstractSearch | None = None
    starts: int = 1
    seed: int = 0
    mesh: Mesh | None = None

    @property
    def folded(self) -> AbstractCriterion | None:
        """The criterion, where it is one of folds; `None` for a function."""
        return self.criterion if isinstance(self.criterion, AbstractCriterion) else None

    @property
    def single(self) -> bool:
        """Whether one hyperparameter is searched, globally."""
        return self.coordinates.start.size == 1 and self.search is None

    def tolerance(self, exact: bool) -> float:
        """How small a hypergradient counts as zero; by solves it is not known better than the precision allows."""
        if self.tol is not None:
            return self.tol
        return STATIONARY if exact else max(STATIONARY, 1000 * float(np.finfo(self.coordinates.dtype).eps))

    @contextlib.contextmanager
    def oracle(self) -> Iterator[AbstractOracle]:
        """What evaluates the criterion by solves; its evaluations are kept at the end, however that comes."""
        criterion = None if self.folded is None else self.folded.filled()
        default = BUDGET if criterion is None else criterion.budget(self.coordinates.start.size > 1)
        self.journal.max_solves = default if self.max_solves is None else self.max_solves
        log = EvaluationLog(self.kept())
        common = self.coordinates.natural, self.coordinates.dtype, self.journal, log, self.mesh
        try:
            yield FunctionOracle(self.criterion, *common) if criterion is None else FoldOracle(criterion, *common)
        finally:
            log.flush()

    def kept(self) -> Checkpoint:
        """The file of this search. What must agree for it to be taken up is in it; code is not among that, data are."""
        start = self.coordinates.start
        box = [self.coordinates.low.tolist(), self.coordinates.high.tolist()] if self.coordinates.bounded else None
        identity: dict[str, Any] = {"theta0": start.tolist(), "dtype": str(start.dtype), "bounds": box}
        if self.checkpoint is not None and self.folded is not None:
            digest = hashlib.sha256()
            rows = [side for fold in self.folded.folds for side in fold]
            for part in (*jax.tree.leaves(self.folded.X), self.folded.y, *rows):
                digest.update(np.ascontiguousarray(part).tobytes())
            identity["data"] = digest.hexdigest()[:16]
        return Checkpoint(self.checkpoint, identity)


class AbstractStrategy(abc.ABC):
    """One way to do a task."""

    def __init__(self, task: Task):
        self.task = task

    @abc.abstractmethod
    def applies(self) -> bool:
        """Whether this way can be gone."""

    @abc.abstractmethod
    def run(self) -> TuneResult:
        """The result, where it applies.

        Raises:
            Abandoned: it turned out on the way that it does not; the next strategy takes over.
        """
