"""Who does the parts of a criterion that do not wait for each other: its folds, or the paths of several ridges."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from itertools import starmap
from typing import Any, TypeVar, final

T = TypeVar("T")


class AbstractWorkers(abc.ABC):
    """A way to call a function several times; results come in the order of the calls."""

    @property
    @abc.abstractmethod
    def several(self) -> bool:
        """Whether calls may be made at the same time, so that it pays to ask for many."""

    @abc.abstractmethod
    def in_threads(self, function: Callable[..., T], calls: Sequence[tuple[Any, ...]]) -> list[T]:
        """`function(*call)` for every call; for compiled programs, which release Python's lock."""

    @abc.abstractmethod
    def in_processes(self, function: Callable[..., T], calls: Sequence[tuple[Any, ...]]) -> list[T]:
        """The same for NumPy; function, calls and results can be pickled."""


@final
class InTurn(AbstractWorkers):
    """One call after the other."""

    @property
    def several(self) -> bool:
        return False

    def in_threads(self, function: Callable[..., T], calls: Sequence[tuple[Any, ...]]) -> list[T]:
        return list(starmap(function, calls))

    def in_processes(self, function: Callable[..., T], calls: Sequence[tuple[Any, ...]]) -> list[T]:
        return list(starmap(function, calls))
