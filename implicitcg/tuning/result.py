"""What `tune` returns: the best hyperparameter, how the search ended, and everything it saw on the way."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jax.flatten_util import ravel_pytree
from jax.tree_util import keystr, tree_leaves_with_path

from .. import plots


class Outcome(enum.Enum):
    """How a search ended; the value of each member is a sentence of advice."""

    stationary_smooth = "The hypergradient vanishes: a stationary point where the criterion is smooth."
    stationary_kink = (
        "Zero lies in the hull of the hypergradients at a kink: a stationary point where no single gradient vanishes."
    )
    stationary_jump = (
        "The criterion jumps at the best point (a feature enters there, and the degrees of freedom with it) and is "
        "higher on both sides: a minimum that no derivative shows."
    )
    flat = (
        "The criterion is constant around the best point (for a LASSO: the solution there is zero, and the best model "
        "is the one without features). Check that the features carry signal, or look at `result.curve`."
    )
    at_lower_end = (
        "The criterion is lowest at the lower end of the range and still falls there. Widen the range with `bounds=`, "
        "or accept that the data ask for (almost) no penalty."
    )
    at_upper_end = (
        "The criterion is lowest at the upper end of the range and still falls there. Widen the range with `bounds=`."
    )
    budget = (
        "The budget of inner solves or of time is spent before a stationary point was reached. The best point found is "
        "returned; raise `max_solves` or `max_seconds`, or resume from the checkpoint."
    )
    no_progress = (
        "No step lowers the criterion any further, yet zero is not in the hull of the hypergradients found. The "
        "criterion may be evaluated too loosely (tighten the inner solver), or have a kink that was not seen; try "
        "another start or a looser `tol`."
    )
    inner_failure = (
        "An inner solve failed at the best point, so its value cannot be trusted. Read `result.history` for the "
        "advice of the solver."
    )
    stopped = "The callback or the user asked to stop. The best point found so far is returned."

    @property
    def converged(self) -> bool:
        """Whether the point is stationary: smooth, at a kink or a jump, or on a flat piece."""
        return self in (
            Outcome.stationary_smooth,
            Outcome.stationary_kink,
            Outcome.stationary_jump,
            Outcome.flat,
        )

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Stationarity:
    """The first-order test at a point: the hypergradients found there, and how far 0 is from their hull.

    `elements` has shape `(N, *shape of the flattened theta)`, in one dimension `(N,)`: the vertices of a conservative
    gradient. `distance` is the norm of the smallest element of the hull, `exhaustive` whether every element is listed.
    """

    elements: np.ndarray
    distance: float
    verdict: str
    exhaustive: bool = True


@dataclass(frozen=True)
class Step:
    """One line of the history: a point that was accepted as the best so far, or an event worth telling.

    `slope` is the norm of the hypergradient (the smallest element of the hull near kinks), `solves` and `seconds`
    count from the start of the search, `note` says what kind of step it was or what went wrong.
    """

    theta: Any
    value: float
    slope: float
    solves: int
    seconds: float
    note: str = ""


@dataclass(frozen=True)
class Curve:
    """The criterion along one hyperparameter, at every point evaluated, sorted by `theta`.

    `standard_error` is over folds (NaN where there are none); `slope` is the derivative by `theta`, at a knot the
    one from the right. All of shape `(m,)`.
    """

    theta: np.ndarray
    value: np.ndarray
    standard_error: np.ndarray
    slope: np.ndarray


@dataclass(frozen=True)
class Accuracy:
    """How far the criterion and its gradient by theta may be from those of exact inner solutions.

    `proven` says whether these are bounds or estimates; `gradient` is NaN where nothing is known of it. `reason` says
    where the numbers come from.
    """

    value: float
    gradient: float
    proven: bool
    reason: str

    def __str__(self) -> str:
        kind = "at most" if self.proven else "about"
        gradient = "of unknown error" if np.isnan(self.gradient) else f"{kind} {self.gradient:.2g} off"
        return f"criterion {kind} {self.value:.2g} off, gradient {gradient} ({self.reason})"


@dataclass(frozen=True)
class TuneResult:
    """The end of a search over hyperparameters. `print(result)` reads well.

    Fields:
        theta: the best hyperparameter, of the structure and dtype of `theta0`.
        value: the criterion there.
        status: an `Outcome`; its value is advice.
        stationarity: the first-order test at `theta`.
        history: accepted points and events, in order.
        solves: inner solves spent (one for each fold and value of theta; on an exact path, one for each piece).
        seconds: wall clock, compilation included.
        standard_error: of the criterion over folds; NaN where there are none.
        scope: what the claim of minimality covers ("local", "global over the range: every piece examined", ...).
        bounds: the range searched, in one dimension.
        curve, knots, one_sided_slopes: in one dimension, see `Curve`; the kinks found, sorted; `(left, right)`.
        fold_values: the loss of each fold at `theta`, where the criterion has folds.
        place: `theta` in the coordinates of the search `(d,)`, such as its logarithm; so are curve and slopes.
        accuracy: how far inexact inner solves may have moved it, an `Accuracy`; only where `tighten` was asked.
        notes: what else a user should know, one sentence each (failed inner solves, uncertified derivatives).
    """

    theta: Any
    value: float
    status: Outcome
    stationarity: Stationarity
    history: list[Step]
    solves: int
    seconds: float
    standard_error: float = float("nan")
    scope: str = "local"
    bounds: tuple[float, float] | None = None
    curve: Curve | None = None
    knots: np.ndarray | None = None
    one_sided_slopes: tuple[float, float] | None = None
    fold_values: np.ndarray | None = None
    place: np.ndarray | None = None
    accuracy: Accuracy | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def converged(self) -> bool:
        """Whether `theta` is stationary (smooth, at a kink, or flat)."""
        return self.status.converged

    @property
    def reason(self) -> str:
        """How the search ended, as a sentence with advice."""
        return self.status.value

    def plot(self, **options: Any) -> Any:
        """Draw the search (`icg.plots.tuning`, or the trajectory in several dimensions); returns Matplotlib axes."""
        return (plots.tuning if self.curve is not None else plots.trajectory)(self, **options)

    def __str__(self) -> str:
        rows = [
            ("theta", _shown(self.theta)),
            ("criterion", f"{self.value:.10g}" + _plus_minus(self.standard_error)),
            ("status", f"{self.status.name}: {self.reason}"),
            ("scope", self.scope),
            ("stationarity", f"{self.stationarity.verdict}; 0 to the hull: {self.stationarity.distance:.3g}"),
        ]
        if self.one_sided_slopes is not None:
            left, right = self.one_sided_slopes
            rows.append(("one-sided slopes", f"left {left:.6g}, right {right:.6g}"))
        if self.accuracy is not None:
            rows.append(("accuracy", str(self.accuracy)))
        if self.bounds is not None:
            rows.append(("range", f"[{self.bounds[0]:.6g}, {self.bounds[1]:.6g}]"))
        rows.append(("work", f"{self.solves} inner solves, {self.seconds:.2f} s"))
        rows += [("note", note) for note in self.notes]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {text}" for name, text in rows)


def _shown(theta: Any) -> str:
    """Numbers where there are few; the size of each leaf where there are many."""
    flat = np.asarray(ravel_pytree(theta)[0])
    if flat.size == 1:
        return f"{float(flat[0]):.12g}"
    parts = []
    for path, leaf in tree_leaves_with_path(theta):
        values = np.ravel(np.asarray(leaf))
        few = ", ".join(f"{value:.6g}" for value in values)
        many = f"{values.size} values from {values.min():.4g} to {values.max():.4g}" if values.size else "nothing"
        parts.append(f"{keystr(path)} {few if values.size <= 4 else many}".strip())
    return "; ".join(parts)


def _plus_minus(error: float) -> str:
    return "" if np.isnan(error) else f" +- {error:.3g} (standard error over folds)"
