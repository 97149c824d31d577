"""One piece of the exact path of a LASSO: affine in the strength, up to the event that ends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .screening import Nearby

ROUNDING = 1e-11  # rates of approach below this, relative, are rounding: the feature depends on the active ones


@dataclass(frozen=True)
class Knot:
    """The path at one `c`: the solution, the direction `dw/dc` of the piece below, and whether a kink is there.

    `values` and `slopes` are those of the `active` features of that piece, out of `p`.
    """

    c: float
    active: np.ndarray
    values: np.ndarray
    slopes: np.ndarray
    p: int
    kink: bool

    @property
    def coef(self) -> np.ndarray:
        """The solution `(p,)`."""
        return self._spread(self.values)

    @property
    def direction(self) -> np.ndarray:
        """`dw/dc` below, `(p,)`."""
        return self._spread(self.slopes)

    def _spread(self, values: np.ndarray) -> np.ndarray:
        spread = np.zeros(self.p)
        spread[self.active] = values
        return spread


class NextKnot(NamedTuple):
    """Where a piece ends, and which feature joins with which sign, or leaves (sign 0); none at the end of the path."""

    c: float
    feature: int | None
    sign: float


class Piece(NamedTuple):
    """`w_S = offset - c slope`, and of the features nearby the correlations `h = h0 + c h1`.

    `fit` and `drift` are what `X_S` makes of `offset` and `slope`, unless the Gram matrix is known.
    """

    offset: np.ndarray
    slope: np.ndarray
    h0: np.ndarray
    h1: np.ndarray
    fit: np.ndarray
    drift: np.ndarray

    def values(self, c: float) -> np.ndarray:
        """The active coefficients at `c`."""
        return self.offset - c * self.slope

    def residual(self, y: np.ndarray, c: float) -> np.ndarray:
        """`y - X w(c)`."""
        return y - self.fit + c * self.drift

    def event(self, near: Nearby, active: np.ndarray, signs: np.ndarray) -> NextKnot:
        """The next knot: the largest `c` below at which a feature reaches its penalty, or a coefficient zero."""
        never = ROUNDING * (near.v + np.abs(self.h1))
        never[near.place[active]] = never[near.free] = np.inf
        best = NextKnot(0.0, None, 0.0)
        for sign, ahead, rate in ((1.0, self.h0, near.v - self.h1), (-1.0, -self.h0, near.v + self.h1)):
            rate[rate <= never] = np.inf
            reached = ahead / rate
            j = int(reached.argmax())
            if reached[j] > best.c:
                best = NextKnot(float(reached[j]), int(near.index[j]), sign)
        if len(active):
            zero = self.offset / np.where(signs * self.slope < 0, self.slope, np.inf)
            i = int(zero.argmax())
            if zero[i] > best.c:
                best = NextKnot(float(zero[i]), int(active[i]), 0.0)
        return best

    def excess(self, near: Nearby, c: float) -> float:
        """By how much a correlation is beyond its penalty at `c`, and beyond what rounding explains."""
        return float((np.abs(self.h0 + c * self.h1) - c * near.v - near.rounding).max(initial=0.0))
