"""An elastic net in both of its strengths: exact paths in the l1 penalty, a search over the ridge.

With the ridge held, the path in the l1 penalty `c` is piecewise affine, and its lowest point is found over all pieces.
That leaves one function of one number, the profile `phi(ridge) = min_c criterion(c, ridge)`. Its derivative is the
partial one by the ridge (the envelope theorem); at a kink, where the two sides have slopes `a < 0 < b` by `c`, the
profile follows the kink, and its derivative is the mean of the two sides with weights that cancel `a` and `b`. The
profile is looked at from no ridge upwards in steps of a decade, and its best place is closed in by the sign of that
derivative. Nothing is compiled.

Source: Zou, Hastie, Regularization and variable selection via the elastic net, JRSS B 2005, for the path at a ridge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from ...nonsmooth.hull import nearest_to_origin
from ..criteria.losses import squared
from ..result import Outcome, TuneResult
from ..search.journal import Journal
from ..search.judge import judge_hull
from ..search.log import Progress
from ..strategy import AbstractStrategy
from ..thresholds import THRESHOLDS
from .fold_path import FoldPath
from .minimise import Sampler, minimise
from .recognise import Models, elastic_net_folds

LEAST_SHARE = 0.01  # of the l1 norm
LEAST = LEAST_SHARE / (1 - LEAST_SHARE)  # the l1 penalty there, relative to the ridge
LOWEST = 1e-4  # of the empty penalty, down to which a path is walked
WEAKEST = -3  # decades of the first ridge, relative to the mean curvature of the features
STEPS = 60  # ridges tried at most to close in on the best


@dataclass(frozen=True)
class Place:
    """The best point of one path: its strengths, the criterion, and the partial slopes `(c, ridge)` on both sides."""

    c: float
    ridge: float
    fold_values: np.ndarray
    sides: np.ndarray
    empty: bool

    @property
    def least(self) -> bool:
        """Whether the share of the l1 norm is the least, and the criterion falls towards less."""
        return self.bound < 0 and self.sides[1, 0] > 0

    @property
    def value(self) -> float:
        """The criterion."""
        return float(self.fold_values.mean())

    @property
    def theta(self) -> np.ndarray:
        """`(log alpha, l1_ratio)`."""
        alpha = self.c + self.ridge
        return np.array([np.log(alpha), self.c / alpha])

    @property
    def slope(self) -> float:
        """The derivative of the profile by the ridge."""
        (a, below), (b, above) = self.sides
        if self.least:  # moving along the bound
            return float(above + b * LEAST)
        # At a kink the best c stays on it while the ridge moves, along a direction in which the two sides change alike.
        # The weights b and -a are those for which the slopes by c cancel: the element of the hull without a c part.
        if a < 0 < b:
            return float((b * below - a * above) / (b - a))
        return float(below if abs(a) <= abs(b) else above)

    @property
    def bound(self) -> int:
        """1 where the share is one, -1 where it is the least, 0 between."""
        return 1 if self.ridge == 0 else -int(self.c <= LEAST * self.ridge * (1 + 1e-9))

    @property
    def elements(self) -> np.ndarray:
        """Gradients by `(log alpha, l1_ratio)`, one row a side."""
        alpha = self.c + self.ridge
        by_c, by_ridge = self.sides.T
        return np.stack([self.c * by_c + self.ridge * by_ridge, alpha * (by_c - by_ridge)], axis=1)

    @property
    def distance(self) -> float:
        """From zero to the hull of the elements."""
        return distance_to(self.elements, self.bound)


def by_ridge(paths: Sequence[FoldPath], c: float, below: bool) -> float:
    """The derivative of the mean squared error by the ridge of every path, on one side of `c`."""
    residuals = [path.at(np.array([c]), below)[0][0] - path.target for path in paths]
    moves = [path.by_ridge(c, below) for path in paths]
    return float(np.mean([2 * np.mean(r * move) for r, move in zip(residuals, moves, strict=True)]))


def distance_to(elements: np.ndarray, bound: int) -> float:
    """From zero to the hull of the elements; what pushes the share against its `bound` (1, -1 or 0: none) is free."""
    if bound:
        back = np.array([0.0, bound * 2 * np.abs(elements[:, 1]).max()])
        elements = np.concatenate([elements, elements + back])
    return float(np.linalg.norm(nearest_to_origin(elements)[0]))


class AlongRidges(AbstractStrategy):
    """An elastic net that its criterion declares: exact paths at every ridge that the search comes to."""

    known: tuple[list[FoldPath], Models] | None = None

    def applies(self) -> bool:
        criterion = self.task.folded
        if criterion is None or self.task.search is not None:
            return False
        found = elastic_net_folds(criterion)
        if found is not None:
            paths = [fold.path() for fold in found[0]]
            if max(path.path.c_max for path in paths) > 0:
                self.known = paths, found[1]
        return self.known is not None

    def run(self) -> TuneResult:
        assert self.known is not None and self.task.folded is not None
        paths, models = self.known
        workers = self.task.folded.workers

        def spread(walk: Any, ridges: Sequence[float]) -> Any:
            return workers.in_processes(walk, [(ridge,) for ridge in ridges])

        together = spread if workers.several else None
        found = tune_elastic_net(paths, self.task.tolerance(exact=True), self.task.journal, together)
        models.verify(found.theta, coefficients_at(paths, found.theta))
        return found


def coefficients_at(paths: Sequence[FoldPath], theta: Any) -> list[np.ndarray]:
    """The coefficients of every fold at `(log alpha, l1_ratio)`, by paths walked anew."""
    alpha, share = float(np.exp(theta[0])), float(theta[1])
    coefs = []
    for path in paths:
        path = path.with_ridge(alpha * (1 - share))
        path.extend(alpha * share)
        coefs.append(path.coefficients(alpha * share))
    return coefs


AtOnce = Callable[[Callable[[float], tuple[Place, int]], Sequence[float]], Sequence[tuple[Place, int]]]


def lowest_on(folds: Sequence[FoldPath], ridge: float) -> tuple[Place, int]:
    """The best point for a ridge, and the pieces that it took; without books, for another process."""
    profile = Profile(folds, Journal(Progress(False, None), None, None))
    return profile(ridge), profile.journal.solves


class Profile:
    """The best point for a ridge, by exact paths; pieces are counted in the journal."""

    def __init__(self, folds: Sequence[FoldPath], journal: Journal):
        self.folds, self.journal = folds, journal
        self.best = float("inf")

    def __call__(self, ridge: float, near: float = 0.0) -> Place:
        """Walk the paths down until the criterion rises for good; below the penalty `near`, until it rises at all."""
        paths = [fold.with_ridge(ridge) for fold in self.folds]
        sampler = Sampler(paths, squared)
        empty, before = max(path.path.c_max for path in paths), self.journal.solves
        lowest = before_that = np.inf

        def report(pieces: int, value: float) -> None:
            del value
            self.journal.spend(before + pieces - self.journal.solves, "pieces", self.best)

        def enough() -> bool:
            nonlocal lowest, before_that
            c = max(float(path.c[-1]) for path in paths)
            value = float(sampler(np.array([c]), True).values.mean())
            # a path may fall again below its lowest value, but hardly once it is far above and rising; near a penalty
            # where the neighbouring ridges had their minima a first rise is enough
            lowest, rising, before_that = min(lowest, value), value > before_that, value
            return rising and value > lowest * (1.0 if c < near else THRESHOLDS.worse)

        least = max(LOWEST * empty, ridge * LEAST)
        found = minimise(sampler, (min(least, empty), empty), report, enough)
        left = found.left, by_ridge(paths, found.c, below=True)
        right = found.right, by_ridge(paths, found.c, below=False)
        return self.seen(Place(found.c, ridge, found.fold_values, np.array([left, right]), found.c >= empty))

    def seen(self, place: Place) -> Place:
        """Enter it in the books, where it is the best so far."""
        if place.value < self.best:
            self.best = place.value
            self.journal.record(jnp.asarray(place.theta), place.value, place.distance, "best of an exact path")
        return place


def tune_elastic_net(
    folds: Sequence[FoldPath], tol: float, journal: Journal, spread: AtOnce | None = None
) -> TuneResult:
    """The `(log alpha, l1_ratio)` of an elastic net with the least mean squared error over the folds.

    With `spread`, a way to call a function for several ridges at once, the paths a decade apart are walked together,
    also those that the search would not have come to; the answer is the same.

    Raises:
        PathBroken: a degenerate knot; the caller searches by solves instead.
    """
    profile = Profile(folds, journal)

    def finish() -> bool:
        return journal.exhausted or journal.stopped

    # A ridge begins to matter where it is a part of the mean curvature of the features. It ends where the share of the
    # l1 norm is the least at the penalty that leaves nothing: beyond, all models are empty.
    curvature = float(np.mean([np.mean(np.square(fold.path.X)) for fold in folds]))
    most = max(fold.path.c_max for fold in folds) / LEAST
    decades = max(int(np.ceil(np.log10(most / curvature) - WEAKEST)), 0)
    ridges = [0.0, *(curvature * 10.0 ** (WEAKEST + k) for k in range(decades))]
    known: dict[float, tuple[Place, int]] = {}
    if spread is not None:
        known = dict(zip(ridges, spread(partial(lowest_on, folds), ridges), strict=True))
    places: list[Place] = []
    for ridge in ridges:
        if places and finish():
            break
        if ridge in known:
            place, pieces = known[ridge]
            journal.spend(pieces, "pieces", profile.best)
            places.append(profile.seen(place))
        else:
            places.append(profile(ridge))
        if places[-1].value > THRESHOLDS.hopeless * profile.best and places[-1].slope > 0 and len(places) > 1:
            break
    best = int(np.argmin([place.value for place in places]))
    small = tol * abs(places[best].value)
    ends = _closed_in(profile, places, best, small, curvature * 10.0**WEAKEST, finish)
    end = min(ends, key=lambda place: place.value)
    elements = np.concatenate([place.elements for place in (end, *(p for p in ends if p is not end))])
    if np.ptp(elements, axis=0).max() <= small:
        elements = elements[:1]
    finished = Outcome.budget if journal.exhausted else Outcome.no_progress
    distance = distance_to(elements, end.bound)
    verdict = judge_hull(
        elements,
        distance,
        small=small,
        kink=len(elements) > 1,
        end=Outcome.stopped if journal.stopped else finished,
        flat="here" if end.empty else "",
        where=", with l1_ratio on its bound" if end.bound and distance <= small else "",
    )
    scope = f"the lowest of {len(places)} exact paths, a decade of ridge apart, and a local search from it"
    return journal.result(jnp.asarray(end.theta), end.theta, end.fold_values, verdict, scope)


def _closed_in(
    profile: Profile, places: list[Place], best: int, small: float, weakest: float, finish: Callable[[], bool]
) -> list[Place]:
    """The best place after a search between its neighbours, and those as near to it as rounding lets them."""
    low = places[best]
    if low.empty or (low.ridge == 0 and low.slope >= 0) or low.distance <= small:
        return [low]

    def at(place: Place) -> float:  # where the search moves: logarithmic, and finite without a ridge
        return float(np.log(place.ridge + weakest))

    if low.slope < 0 and best + 1 == len(places):
        return [low]
    high = places[best + 1] if low.slope < 0 else low
    low = low if low.slope < 0 else places[best - 1]
    for step in range(STEPS):
        if finish():
            break
        a, b = at(low), at(high)
        if b - a <= 1e-9 * (1 + abs(a)):
            break
        slopes = [place.slope * (place.ridge + weakest) for place in (low, high)]
        # the secant of the slope, kept away from the ends; every third step halves, as the slope jumps at kinks and a
        # secant of a jump would creep
        share = 0.5
        if slopes[0] < 0 < slopes[1] and step % 3 != 2:
            share = float(np.clip(-slopes[0] / (slopes[1] - slopes[0]), 0.01, 0.99))
        middle = profile(max(float(np.exp(a + share * (b - a)) - weakest), 0.0), 0.7 * min(low.c, high.c))
        if middle.distance <= small:
            return [middle]
        # what is higher than the lowest end lies beyond a minimum, whatever its slope
        if middle.value > min(low.value, high.value):
            low, high = (low, middle) if low.value <= high.value else (middle, high)
        else:
            low, high = (middle, high) if middle.slope < 0 else (low, middle)
    return [low, high]
