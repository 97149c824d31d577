"""The verdict on a point: whether zero is in the hull of the hypergradients found there."""

from __future__ import annotations

import numpy as np

from ..result import Outcome, Stationarity


def judge_slopes(
    left: float, right: float, *, kink: bool, flat: bool, small: float, end: Outcome
) -> tuple[Outcome, Stationarity]:
    """The outcome of a search in one dimension, from the slopes on both sides of its best point.

    `kink` says whether the point is on one, `flat` whether the solution is empty from there on, `small` below which
    size a slope counts as zero, and `end` what it means when neither side is.
    """
    kink = kink and abs(left - right) > small
    elements = np.array([left, right]) if kink else np.array([left if abs(left) < abs(right) else right])
    distance = 0.0 if left <= 0 <= right else min(abs(left), abs(right))
    if flat:
        verdict = "stationary: the solution is zero here and beyond, where the criterion is flat"
        return Outcome.flat, Stationarity(elements, distance, verdict)
    if distance <= small:
        if kink:
            return Outcome.stationary_kink, Stationarity(elements, distance, "stationary at a kink")
        return Outcome.stationary_smooth, Stationarity(elements, distance, "stationary, smooth")
    verdicts = {
        Outcome.at_lower_end: "not stationary: the criterion falls towards the lower end of the range",
        Outcome.at_upper_end: "not stationary: the criterion falls towards the upper end of the range",
    }
    return end, Stationarity(elements, distance, verdicts.get(end, "not stationary"))


def fold_error(values: np.ndarray) -> np.ndarray:
    """The standard error of the mean over the last axis, NaN where there is one fold only."""
    k = values.shape[-1]
    if k == 1:
        return np.full(values.shape[:-1], np.nan)
    return np.std(values, axis=-1, ddof=1) / np.sqrt(k)
