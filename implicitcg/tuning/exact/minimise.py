"""One strength of a LASSO, searched globally: every piece of the criterion between neighbouring knots is examined.

On a piece all predictions are affine in the strength `c`, so a convex loss is convex there, and a squared loss a
parabola: the piece's minimum is at one of its ends, or where the slope changes sign, which bisection on the slope
(a secant for a parabola) finds to rounding. The lowest of all pieces is the global minimum over the range.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..criteria.losses import Loss, is_convex, squared
from .fold_path import DECADES, FoldPath

DEEPEST = 12  # decades at which an extension of the range ends
STAGES = 4  # a decade, after which a walk may stop or be kept
SUBDIVISION = 8  # parts of a piece examined on their own when the loss is not known to be convex


Score = Callable[[Any, Any], Any]  # of the residual sum of squares and the degrees of freedom


class Samples(NamedTuple):
    """The losses of every fold at some strengths, and their slopes by `c`, of shape `(m, k)`."""

    values: np.ndarray
    slopes: np.ndarray


@dataclass(frozen=True)
class ExactMinimum:
    """The global minimum over `[c_low, c_high]` and the curve around it.

    `cut` says whether the walk ended early, so that `c_low` lies above what was asked for; `jumps`, whether the
    criterion is discontinuous at `c`, with its lower value there.
    `left` and `right` are the slopes by `c` below and above `c`; `c_grid` with `below`, `above` the samples at every
    knot (and subdivision) from either side, ascending.
    """

    c: float
    fold_values: np.ndarray
    left: float
    right: float
    on_kink: bool
    jumps: bool
    c_low: float
    c_high: float
    c_empty: float
    kinks: np.ndarray
    c_grid: np.ndarray
    below: Samples
    above: Samples
    cut: bool


def minimise(
    sampler: Sampler,
    c_range: tuple[float, float] | None,
    report: Callable[[int, float], None],
    finish: Callable[[], bool] = lambda: False,
) -> ExactMinimum:
    """The minimum over `c_range`, or over a range found from the data.

    That range begins where every solution is empty and goes down four decades, then on, two decades at a time, while
    the best point is its lower end. `report(pieces, value)` is called after each stage, a quarter of a decade,
    and `finish()` says whether to be content with what was walked so far.

    Raises:
        PathBroken: at a degenerate knot.
    """
    c_empty = max(path.path.c_max for path in sampler.paths)
    if c_range is not None:
        low, cut = _walk(sampler.paths, *c_range, report, finish)
        return _minimise_between(sampler, low, c_range[1], c_empty, report, cut)
    # A minimum at the very end of the range says that the data want less penalty, not that the end is special. The walk
    # goes on from where it stands, so a longer range costs its new pieces only.
    decades = DECADES
    while True:
        low, cut = _walk(sampler.paths, c_empty * 10.0**-decades, c_empty, report, finish)
        found = _minimise_between(sampler, low, c_empty, c_empty, report, cut)
        if cut or found.c > found.c_low or found.right <= 0 or decades >= DEEPEST:
            return found
        decades += 2


def _walk(
    paths: list[FoldPath],
    c_low: float,
    c_high: float,
    report: Callable[[int, float], None],
    finish: Callable[[], bool],
) -> tuple[float, bool]:
    """Walk all paths down together, as far as `c_low` or until `finish`; how far they came, and whether cut short.

    Ctrl-C ends the walk at the last stage that all have finished.
    """
    least = max(c_low, c_high * 10.0**-DEEPEST)
    many = int(np.ceil(STAGES * np.log10(c_high / least))) if least < c_high else 0
    # all folds come down together, so that a walk that is cut short (by time, by Ctrl-C) has one range for all of them
    stages = np.append(np.geomspace(c_high, least, many + 1)[1:-1] if many > 1 else [], c_low)
    reached = c_high
    for stage in stages:
        try:
            for path in paths:
                path.extend(stage)
            report(sum(path.path.pieces for path in paths), float("nan"))
        except KeyboardInterrupt:
            if reached == c_high:
                raise
            return reached, True
        reached = float(stage)
        if reached > c_low and finish():
            return reached, True
    return c_low, False


def _minimise_between(
    sampler: Sampler, c_low: float, c_high: float, c_empty: float, report: Callable[[int, float], None], cut: bool
) -> ExactMinimum:
    kinks = np.unique(np.concatenate([path.kinks() for path in sampler.paths]))
    kinks = kinks[(kinks >= c_low) & (kinks <= c_high)]
    ends = np.array([c_low, c_high])
    grid = np.unique(np.concatenate([kinks, ends]))
    if not is_convex(sampler.loss):
        parts = np.linspace(0, 1, SUBDIVISION, endpoint=False)
        inner = (grid[:-1, None] + np.diff(grid)[:, None] * parts).ravel()
        grid = np.unique(np.concatenate([inner, grid]))
    below, above = sampler(grid, below=True), sampler(grid, below=False)
    # where the criterion jumps, it takes the lower of the two values: a feature that enters is still zero at its knot
    values = np.minimum(below.values.mean(axis=1), above.values.mean(axis=1))
    if sampler.score is None and not np.isfinite(values).all():
        bad = grid[~np.isfinite(values)]
        raise ValueError(f"The loss is not finite at {len(bad)} strengths, the first {bad[0]:.6g}; check `loss`.")
    best = int(np.argmin(values))
    c, value = float(grid[best]), float(values[best])
    inside = _interior_minima(sampler, grid, above.slopes.mean(axis=1)[:-1], below.slopes.mean(axis=1)[1:])
    left_of, right_of = c, c
    if len(inside):
        at = sampler(inside[:, 0], below=True).values.mean(axis=1)
        lowest = int(np.argmin(at))
        if at[lowest] < value:
            c = float(inside[lowest, 0])
            left_of, right_of = float(inside[lowest, 1]), float(inside[lowest, 2])
    report(sum(path.path.pieces for path in sampler.paths), value)
    sides = [sampler(np.array([c]), below=below) for below in (True, False)]
    here = min(sides, key=lambda side: float(side.values.mean()))
    gaps = [float(side.values.mean() - here.values.mean()) for side in sides]
    jumps = sampler.score is not None and max(gaps) > 1e-9 * abs(float(here.values.mean()))
    # slopes are taken just outside the bracket: where secants shrank onto a kink of the loss itself (a residual that is
    # zero under an absolute loss), the two ends of the bracket lie on its two sides, and c between them on neither
    left = float(sampler(np.array([left_of]), below=True).slopes.mean())
    right = float(sampler(np.array([right_of]), below=False).slopes.mean())
    on_kink = bool(np.any(kinks == c)) or left_of < right_of
    return ExactMinimum(
        c, here.values[0], left, right, on_kink, jumps, c_low, c_high, c_empty, kinks, grid, below, above, cut
    )


def _interior_minima(sampler: Sampler, grid: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Rows `(c, below, above)` for every piece whose slope goes from negative to positive inside it.

    `start` and `end` are the slopes at the two ends from within. Secants and bisections of the slope keep a bracket;
    one that shrinks onto a jump of the slope is a kink of the loss itself, and is returned as the bracket.
    """
    pieces = (start < 0) & (end > 0)
    a, b = grid[:-1][pieces].copy(), grid[1:][pieces].copy()
    slope_a, slope_b = start[pieces].copy(), end[pieces].copy()
    if not len(a):
        return np.empty((0, 3))
    scale = np.maximum(np.abs(slope_a), np.abs(slope_b))
    done = np.zeros(len(a), bool)
    c = a.copy()
    # Secants alone creep where one end never moves; every third turn bisects, so a bracket of any shape closes in about
    # 3 * 52 turns. Of a squared loss the slope is affine and the first secant is exact: a second one only confirms it.
    for turn in range(200):
        secant = a - slope_a * (b - a) / (slope_b - slope_a)
        last, c = c, np.where(done, c, np.where(turn % 3 == 2, (a + b) / 2, secant))
        slope = sampler(c, below=True).slopes.mean(axis=1)
        stays = np.abs(c - last) <= 4 * np.finfo(float).eps * b
        done |= np.abs(slope) <= np.where(stays, 1e-12, 1e-15) * scale
        lower = slope < 0
        moves = ~done
        a, slope_a = np.where(moves & lower, c, a), np.where(moves & lower, slope, slope_a)
        b, slope_b = np.where(moves & ~lower, c, b), np.where(moves & ~lower, slope, slope_b)
        done |= b - a <= 4 * np.finfo(float).eps * b
        if done.all():
            break
    jump = (b - a <= 8 * np.finfo(float).eps * b) & (slope_b - slope_a > 1e-6 * scale)
    return np.stack([c, np.where(jump, a, c), np.where(jump, b, c)], axis=1)


class Sampler:
    """The losses of all folds at many strengths, in float64, and their slopes.

    With a `score` the criterion is that function of the residual sum of squares and the degrees of freedom, which jump
    at knots.
    """

    def __init__(self, paths: list[FoldPath], loss: Loss, score: Score | None = None):
        self.paths, self.loss, self.score = paths, loss, score

        def value_and_slope(prediction: Any, direction: Any, target: Any) -> tuple[Any, Any]:
            return jax.jvp(lambda p: loss(p, target), (prediction,), (direction,))

        self._general = jax.jit(jax.vmap(value_and_slope, in_axes=(0, 0, None)))

    def __call__(self, c: np.ndarray, below: bool) -> Samples:
        columns = [self._fold(path, c, below) for path in self.paths]
        return Samples(np.stack([v for v, _ in columns], axis=1), np.stack([s for _, s in columns], axis=1))

    def _fold(self, path: FoldPath, c: np.ndarray, below: bool) -> tuple[np.ndarray, np.ndarray]:
        predictions, directions = path.at(c, below)
        if self.score is not None:
            residuals = predictions - path.target
            total, change = np.sum(residuals**2, axis=1), 2 * np.sum(residuals * directions, axis=1)
            with jax.enable_x64(True):  # sums in double precision deserve a score in double precision
                by_total = jax.vmap(jax.value_and_grad(self.score))
                values, slopes = by_total(jnp.asarray(total), jnp.asarray(path.degrees(c, below)))
            return np.asarray(values, np.float64), np.asarray(slopes, np.float64) * change
        if self.loss is squared:
            residuals = predictions - path.target
            total, change = (np.einsum("ij,ij->i", residuals, other) for other in (residuals, directions))
            return total / len(path.target), 2 * change / len(path.target)
        room = 1 << max(0, len(c) - 1).bit_length()  # few sizes, so that few programs are compiled

        def padded(rows: np.ndarray) -> Any:
            return jnp.asarray(np.concatenate([rows, np.broadcast_to(rows[:1], (room - len(c), rows.shape[1]))]))

        value, slope = self._general(padded(predictions), padded(directions), jnp.asarray(path.target))
        return np.asarray(value, np.float64)[: len(c)], np.asarray(slope, np.float64)[: len(c)]
