"""Showing how a search is going: one line in a terminal, nothing elsewhere."""

from __future__ import annotations

import math
import sys
from types import TracebackType
from typing import Any


class Progress:
    """A line with the best value, the solves spent and the seconds; silent unless it is asked for or has a terminal.

    Args:
        show: `True`, `False`, or `None` for "only when standard error is a terminal".
        total: the budget of solves, where there is one.
    """

    def __init__(self, show: bool | None, total: int | None):
        self.show = sys.stderr.isatty() if show is None else show
        self.total = total
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        if self.show:
            from rich.console import Console
            from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns: list[Any] = [SpinnerColumn(), TextColumn("tuning"), TextColumn("{task.description}")]
            if self.total is not None:
                columns += [BarColumn(bar_width=20), TextColumn("at most"), TimeRemainingColumn(), TextColumn("to go,")]
            self._bar = Bar(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=sys.stderr.isatty())
            self._bar.start()
            self._task = self._bar.add_task("compiling", total=self.total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, stage: str, value: float, solves: int) -> None:
        """Show the stage, the best value so far and the solves spent."""
        if self._bar is not None:
            known = f"best {value:.8g}, " if math.isfinite(value) else ""
            text = f"{stage}: {known}{solves} solves"
            self._bar.update(self._task, description=text, completed=solves)
