"""Showing how a search is going: one line in a terminal, nothing elsewhere."""

from __future__ import annotations

import math
import sys
from types import TracebackType
from typing import Any

from ...base import needs


class Progress:
    """A line with the best value, the solves spent and the seconds; silent unless it is asked for or has a terminal.

    Without rich (`pip install 'implicitcg[cli]'`) it is plain: no bar, no seconds, a line for each stage.

    Args:
        show: `True`, `False`, or `None` for "only when standard error is a terminal".
        total: the budget of solves, where there is one.
    """

    def __init__(self, show: bool | None, total: int | None):
        self.show = sys.stderr.isatty() if show is None else show
        self.total = total
        self._bar: Any = None
        self._task: Any = None
        self._stage = ""

    def __enter__(self) -> Progress:
        if self.show:
            try:
                rich = needs("rich.progress", "cli", "A bar")
            except ImportError:
                return self
            text = rich.TextColumn
            columns: list[Any] = [rich.SpinnerColumn(), text("tuning"), text("{task.description}")]
            if self.total is not None:
                columns += [rich.BarColumn(bar_width=20), text("at most"), rich.TimeRemainingColumn(), text("to go,")]
            console = needs("rich.console", "cli", "A bar").Console(stderr=True)
            elapsed = rich.TimeElapsedColumn()
            self._bar = rich.Progress(*columns, elapsed, console=console, transient=sys.stderr.isatty())
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
        if not self.show:
            return
        known = f"best {value:.8g}, " if math.isfinite(value) else ""
        text = f"{stage}: {known}{solves} solves"
        if self._bar is not None:
            self._bar.update(self._task, description=text, completed=solves)
        elif stage != self._stage:
            print(f"tuning {text}", file=sys.stderr)
            self._stage = stage
