"""The folds of an estimator, dealt to the workers of joblib."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, final

from sklearn.utils.parallel import Parallel, delayed

from ..tuning.criteria.workers import AbstractWorkers

T = TypeVar("T")


@final
class Joblib(AbstractWorkers):
    """`n_jobs` workers: threads for compiled programs, processes for NumPy."""

    def __init__(self, n_jobs: int):
        self.n_jobs = n_jobs

    @property
    def several(self) -> bool:
        return True

    def in_threads(self, function: Callable[..., T], calls: Sequence[tuple[Any, ...]]) -> list[T]:
        return Parallel(n_jobs=self.n_jobs, prefer="threads")(delayed(function)(*call) for call in calls)  # type: ignore[return-value]

    def in_processes(self, function: Callable[..., T], calls: Sequence[tuple[Any, ...]]) -> list[T]:
        return Parallel(n_jobs=self.n_jobs)(delayed(function)(*call) for call in calls)  # type: ignore[return-value]
