"""The strength of a penalty as a function of the hyperparameter, and the weights of the features beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...equations.one_parameter import ExponentialForm, LineForm

LAST_PLACES = 8  # units of the last place by which rates of penalties may differ: what arithmetic makes of one number


@dataclass(frozen=True)
class Strength:
    """`c(theta) = exp(origin + rate theta)` where `exponential`, else `origin + rate theta`."""

    exponential: bool
    origin: float
    rate: float

    def at(self, theta: Any) -> Any:
        """`c(theta)`."""
        line = self.origin + self.rate * np.asarray(theta)
        return np.exp(line) if self.exponential else line

    def inverse(self, c: Any) -> Any:
        """The `theta` with `c(theta) = c`."""
        c = np.asarray(c)
        return ((np.log(c) if self.exponential else c) - self.origin) / self.rate

    def derivative(self, c: Any) -> Any:
        """`dc/dtheta`, where the strength is `c`."""
        return self.rate * np.asarray(c) if self.exponential else np.full_like(np.asarray(c, np.float64), self.rate)


def common_strength(
    alphas: Sequence[Any], dimensions: Sequence[tuple[int, Any]], theta: float
) -> tuple[Strength, list[np.ndarray]] | None:
    """The strength `c` and the weights `v` of every fold with `alpha = c(theta) v`; `None` where there are none.

    `c` is the largest of all penalties at the given `theta`, so its own weight is one.
    """
    kinds = {type(alpha) for alpha in alphas}
    if len(kinds) > 1 or not kinds <= {LineForm, ExponentialForm}:
        return None
    features = [p for p, _ in dimensions]
    rounding = LAST_PLACES * max(float(np.finfo(dtype).eps) for _, dtype in dimensions)

    def all_of(name: str) -> np.ndarray:
        return np.concatenate(
            [np.broadcast_to(vars(alpha)[name], (p,)) for alpha, p in zip(alphas, features, strict=True)]
        )

    offset, rate = all_of("offset"), all_of("rate")
    exponential = kinds == {ExponentialForm}
    factor = all_of("factor") if exponential else np.ones_like(rate)
    with np.errstate(over="ignore", invalid="ignore"):
        alpha = factor * np.exp(offset + rate * theta) if exponential else offset + rate * theta
    one = int(np.argmax(alpha))
    if not np.isfinite(alpha).all() or alpha[one] <= 0 or rate[one] == 0:
        return None
    if exponential:
        together = np.isclose(rate, rate[one], rtol=rounding, atol=0) | (factor == 0)
        weights = factor / factor[one] * np.exp(offset - offset[one])
        origin = np.log(factor[one]) + offset[one]
    else:
        sides = offset * rate[one], offset[one] * rate
        together = np.abs(sides[0] - sides[1]) <= rounding * (np.abs(sides[0]) + np.abs(sides[1]))
        weights, origin = rate / rate[one], offset[one]
    if not together.all() or (weights < 0).any():
        return None
    return Strength(exponential, float(origin), float(rate[one])), np.split(weights, np.cumsum(features)[:-1])
