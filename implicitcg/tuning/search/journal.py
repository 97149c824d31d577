"""The books of a search: what it spent, what it found, and whom it tells."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..result import Curve, Outcome, Stationarity, Step, TuneResult
from .judge import fold_error
from .log import Progress


class Journal:
    """Counts solves and seconds, keeps the history, shows progress, and asks the callback whether to go on.

    Args:
        progress: the display, already entered.
        callback: called with every `Step`; a true answer stops the search.
        max_solves: the budget of solves, or `None`.
        max_seconds: that of time, or `None`.
    """

    def __init__(
        self,
        progress: Progress,
        callback: Callable[[Step], Any] | None,
        max_solves: int | None,
        max_seconds: float | None = None,
    ):
        self.progress = progress
        self.callback = callback
        self.max_solves = max_solves
        self.max_seconds = max_seconds
        self.interrupted = False
        self.history: list[Step] = []
        self._notes: dict[str, tuple[str, int]] = {}
        self.solves = 0
        self.stopped = False
        self._begin = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Wall clock since the search began."""
        return time.perf_counter() - self._begin

    @property
    def late(self) -> bool:
        """Whether the budget of time is spent."""
        return self.max_seconds is not None and self.seconds >= self.max_seconds

    @property
    def exhausted(self) -> bool:
        """Whether the budget of solves or of time is spent."""
        if self.late:
            return True
        return self.max_solves is not None and self.solves >= self.max_solves

    def spend(self, solves: int, stage: str, best: float) -> None:
        """Count solves, and show it."""
        self.solves += solves
        self.progress.update(stage, best, self.solves)

    def record(self, theta: Any, value: float, slope: float, note: str) -> None:
        """Add a line to the history and hand it to the callback."""
        step = Step(theta, float(value), float(slope), self.solves, self.seconds, note)
        self.history.append(step)
        if self.callback is not None and self.callback(step):
            self.stopped = True

    def interrupt(self) -> None:
        """The user pressed Ctrl-C: stop with what there is, or raise `KeyboardInterrupt` where there is nothing yet."""
        if not self.history:
            raise KeyboardInterrupt
        self.interrupted = self.stopped = True
        self.tell("Interrupted by the user; the best point so far is returned.")

    def tell(self, note: str, where: str = "") -> None:
        """Keep a sentence for the user; where it comes again, it is counted."""
        first, times = self._notes.get(note, (where, 0))
        self._notes[note] = (first, times + 1)

    @property
    def notes(self) -> list[str]:
        """The sentences kept, with where they came first and how often."""
        return [
            note + (f" ({where}{f', {times} times' if times > 1 else ''})" if where else "")
            for note, (where, times) in self._notes.items()
        ]

    def result(
        self,
        theta: Any,
        place: np.ndarray,
        values: np.ndarray,
        verdict: tuple[Outcome, Stationarity],
        scope: str,
        *,
        folded: bool = True,
        bounds: tuple[float, float] | None = None,
        curve: Curve | None = None,
        knots: np.ndarray | None = None,
        one_sided_slopes: tuple[float, float] | None = None,
    ) -> TuneResult:
        """The result of the search: what a strategy found, with what the books say.

        `values` are the losses of the folds at `theta`, which is at `place` in coordinates of the search; where not
        `folded`, that of a function.
        """
        status, stationarity = verdict
        return TuneResult(
            theta=theta,
            value=float(values.mean()),
            status=status,
            stationarity=stationarity,
            history=self.history,
            solves=self.solves,
            seconds=self.seconds,
            standard_error=float(fold_error(values)),
            scope=scope,
            bounds=bounds,
            curve=curve,
            knots=knots,
            one_sided_slopes=one_sided_slopes,
            fold_values=values if folded else None,
            place=place,
            notes=self.notes,
        )
