"""The verdict on a point: whether zero is in the hull of the hypergradients found there."""

from __future__ import annotations

import numpy as np

from ..result import Outcome, Stationarity

NOT_STATIONARY = {
    Outcome.at_lower_end: "not stationary: the criterion falls towards the lower end of the range",
    Outcome.at_upper_end: "not stationary: the criterion falls towards the upper end of the range",
    Outcome.stopped: "not stationary: the search was stopped",
    Outcome.budget: "not stationary yet",
    Outcome.no_progress: "not stationary",
}


def judge_hull(
    elements: np.ndarray,
    distance: float,
    *,
    small: float,
    kink: bool,
    end: Outcome,
    flat: str = "",
    where: str = "",
    exhaustive: bool = False,
) -> tuple[Outcome, Stationarity]:
    """The outcome of a search, and its first-order test, from the hypergradients found at the best point.

    `distance` is that of zero from their hull and counts as zero up to `small`; then the point is stationary, at a
    `kink` or smooth, or `flat` where that says from where on. Else `end` says how the search ended. `where` goes on to
    tell of bounds, and `exhaustive` is whether all elements were found.
    """
    if flat:
        outcome, verdict = Outcome.flat, f"stationary: the solution is zero {flat}, where the criterion is flat"
    elif distance <= small:
        outcome = Outcome.stationary_kink if kink else Outcome.stationary_smooth
        verdict = ("stationary at a kink" if kink else "stationary, smooth") + where
    else:
        outcome, verdict = end, NOT_STATIONARY[end]
    return outcome, Stationarity(elements, distance, verdict, exhaustive)


def judge_slopes(
    left: float, right: float, *, kink: bool, flat: bool, small: float, end: Outcome
) -> tuple[Outcome, Stationarity]:
    """The same in one dimension, from the slopes on both sides of the best point.

    `kink` says whether the point is on one, `flat` whether the solution is empty from there on.
    """
    kink = kink and abs(left - right) > small
    elements = np.array([left, right]) if kink else np.array([left if abs(left) < abs(right) else right])
    distance = 0.0 if left <= 0 <= right else min(abs(left), abs(right))
    beyond = "here and beyond" if flat else ""
    return judge_hull(elements, distance, small=small, kink=kink, end=end, flat=beyond, exhaustive=True)


def fold_error(values: np.ndarray) -> np.ndarray:
    """The standard error of the mean over the last axis, NaN where there is one fold only."""
    k = values.shape[-1]
    if k == 1:
        return np.full(values.shape[:-1], np.nan)
    return np.std(values, axis=-1, ddof=1) / np.sqrt(k)
