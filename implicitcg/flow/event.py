"""`Event`: a surface on which the state or the field jumps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
from jax import Array


class Event(eqx.Module):
    """What happens where `guard(t, y, args)` changes its sign.

    The crossing is located and stepped onto, `y` becomes `reset(t, y, args)`, and the field may jump there. With
    `g = guard`, `f-` and `f+` the field before and after, the sensitivity jumps by

        S = R_y + (f+ - R_y f- - R_t) (dg/dy) / (g_t + dg/dy f-),

    and the time of the crossing has the derivative `-dg / (g_t + dg/dy f-)`. Both include the parameters' own part.

    Args:
        guard: a scalar function `(t, y, args)`.
        reset: `(t, y, args) -> y`, of the structure of `y`; `None` leaves the state as it is.
        direction: `1` for crossings upward only, `-1` downward only, `None` for both.
        terminal: whether the flow stops there; `y` stays what the reset made it.

    Example:
        >>> import jax, implicitcg as icg
        >>> fall = lambda t, y, g: (y[1], -g)
        >>> ground = icg.flow.Event(lambda t, y, g: y[0], terminal=True)
        >>> solve = lambda g: icg.flow.solve(fall, (2.0, 0.0), g, (0.0, 9.0), events=[ground])
        >>> print(f"{solve(4.0).event_times(0)[0]:.4f}")  # sqrt(2 h / g)
        1.0000
    """

    guard: Callable[..., Any]
    reset: Callable[..., Any] | None = None
    direction: int | None = eqx.field(static=True, default=None)
    terminal: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        if not callable(self.guard) or not (self.reset is None or callable(self.reset)):
            raise TypeError("An Event takes functions: guard(t, y, args), a number, and reset(t, y, args), a state.")
        if self.direction not in (None, 1, -1):
            raise ValueError(f"direction is {self.direction!r}; 1 is upward, -1 downward, None both.")

    def fires(self, upward: Array) -> Array:
        """Whether a crossing in this direction counts."""
        return upward | True if self.direction is None else upward == (self.direction == 1)
