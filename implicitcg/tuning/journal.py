"""The books of a search: what it spent, what it found, and whom it tells."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from jax import Array

from .progress import Progress
from .result import Step


class Journal:
    """Counts solves and seconds, keeps the history, shows progress, and asks the callback whether to go on.

    Args:
        unravel: turns a flat vector into the user's theta.
        progress: the display, already entered.
        callback: called with every `Step`; a true answer stops the search.
        max_solves: the budget, or `None`.
    """

    def __init__(
        self,
        unravel: Callable[[Array], Any],
        progress: Progress,
        callback: Callable[[Step], Any] | None,
        max_solves: int | None,
    ):
        self.unravel = unravel
        self.progress = progress
        self.callback = callback
        self.max_solves = max_solves
        self.history: list[Step] = []
        self.notes: list[str] = []
        self.solves = 0
        self.stopped = False
        self._begin = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Wall clock since the search began (in all of its runs, where it was resumed)."""
        return time.perf_counter() - self._begin

    @property
    def exhausted(self) -> bool:
        """Whether the budget of solves is spent."""
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

    def tell(self, note: str) -> None:
        """Keep a sentence for the user, once."""
        if note not in self.notes:
            self.notes.append(note)

    def pack(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The books as arrays and plain values, for a checkpoint."""
        from jax.flatten_util import ravel_pytree

        thetas = [np.asarray(ravel_pytree(step.theta)[0]) for step in self.history]
        lines = [
            {k: v for k, v in dataclasses.asdict(step).items() if k != "theta"} for step in self.history
        ]
        arrays = {"history": np.stack(thetas)} if thetas else {}
        return arrays, {"lines": lines, "notes": self.notes, "solves": self.solves, "seconds": self.seconds}

    def unpack(self, arrays: dict[str, np.ndarray], values: dict[str, Any], dtype: Any) -> None:
        """Take up the books of an earlier run."""
        import jax.numpy as jnp

        lines = values["lines"]
        thetas = arrays.get("history", np.empty((0, 0)))
        self.history = [
            Step(theta=self.unravel(jnp.asarray(t, dtype)), **line) for t, line in zip(thetas, lines, strict=True)
        ]
        self.notes = list(values["notes"])
        self.solves = int(values["solves"])
        self._begin = time.perf_counter() - float(values["seconds"])
