"""The exact path of a weighted LASSO: every piece, every knot, without a grid.

Along `c` the solution of

    min_w 1/(2n) ||C (y - X w)||^2 + ridge/2 ||w||^2 + c sum_j v_j |w_j|

is affine between knots (`C` centres when an intercept is fitted; a `ridge` makes it an elastic net). On a piece with
active set `S` and signs `s`, with `G = X^T C X / n + ridge I` and `b = X^T C y / n`,

    w_S(c) = G_SS^{-1} b_S - c G_SS^{-1} (v_S s_S),      h(c) = b - G[:, S] w_S(c),

and the piece ends where some `|h_j| = c v_j` outside `S` (the feature joins) or some `w_j = 0` inside (it leaves).
Nothing is carried from piece to piece but `S` and `s`, so rounding does not accumulate. Everything runs in float64 on
the host: one piece costs one small factorisation and a product with the columns of the features that may join next
(`screening`), and nothing needs to be compiled.

Source: Osborne, Presnell, Turlach, A new approach to variable selection in least squares problems, 2000; Efron et al.,
Least angle regression, 2004.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np

from .screening import STRETCH, Nearby
from .support import Dependent, Support

ROUNDING = 1e-11  # rates of approach below this, relative, are rounding: the feature depends on the active ones
DEPENDENT = 1e-10  # 1 - R^2 of a feature on the active ones below which it is taken as a combination of them
TIES = 200  # events allowed at one value of c before the path is called degenerate


class PathBroken(Exception):
    """The path cannot be continued below `c`: dependent columns swap at a knot in a way that is not understood."""

    def __init__(self, c: float, why: str):
        super().__init__(f"the exact path stops at penalty {c:.6g}: {why}")
        self.c = c


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


class LassoPath:
    """Walks down the path of one problem; `advance(c)` returns the knots down to `c` and can be called again for less.

    Args:
        X: design matrix `(n, p)`; y: response `(n,)`; weights: `v` of shape `(p,)`, zero for an unpenalised feature.
        fit_intercept: whether an intercept is fitted.
        ridge: the factor of `||w||^2 / 2`, the same all along the path.
    """

    def __init__(self, X: np.ndarray, y: np.ndarray, weights: np.ndarray, fit_intercept: bool, ridge: float = 0.0):
        X, y = np.asarray(X, np.float64), np.asarray(y, np.float64)
        self.x_mean = X.mean(axis=0) if fit_intercept else np.zeros(X.shape[1])
        self.y_mean = float(y.mean()) if fit_intercept else 0.0
        self.X = np.asfortranarray(X - self.x_mean)
        # a constant column leaves nothing but the rounding of its own mean
        constant = np.linalg.norm(self.X, axis=0) <= 1e-14 * np.sqrt(len(y)) * np.abs(self.x_mean)
        self.X[:, constant] = 0.0
        self.y = y - self.y_mean
        self.fit_intercept, self.ridge = fit_intercept, ridge
        self.v = np.asarray(weights, np.float64)
        self.n, self.p = X.shape
        self.b = self.X.T @ self.y / self.n
        self.rounding = 1e-14 * np.linalg.norm(self.X, axis=0) * np.linalg.norm(self.y) / self.n
        self.near = Nearby(self.X, self.v)
        self.gram = self.X.T @ self.X / self.n if self.p <= self.n else None  # else it is larger than X
        self._begin()

    def with_ridge(self, ridge: float) -> LassoPath:
        """The path of the same data with another ridge, at its top."""
        other = copy.copy(self)
        other.ridge, other.near = ridge, copy.copy(self.near)
        other._begin()
        return other

    def ridge_direction(self, coef: np.ndarray, active: np.ndarray) -> np.ndarray:
        """The derivative of the coefficients by the ridge, where the features `active` and no others may move."""
        columns = self.X[:, active]
        block = columns.T @ columns / self.n + self.ridge * np.eye(len(active))
        direction = np.zeros(self.p)
        direction[active] = -np.linalg.solve(block, coef[active]) if len(active) else 0.0
        return direction

    def _begin(self) -> None:
        """Stand at the top of the path."""
        self.support = Support(self.X, self.ridge, self.gram)
        self.c = np.inf
        self.pieces = 0
        for j in np.flatnonzero(self.v == 0):
            row = self.support.row(int(j))
            reduced, pivot = self.support.reduce(*row)
            if pivot > DEPENDENT * row[1]:  # else it adds nothing to the fit
                self.support.join(int(j), 0.0, row, reduced, pivot)
        self.pieces += 1
        fitted = self.support.solve(self.b[self.active]) if self.active else np.empty(0)
        residual = self.y - self.X[:, self.active] @ fitted
        h = self.X.T @ residual / self.n
        penalised = self.v > 0
        ratio = np.where(penalised, np.abs(h) / np.where(penalised, self.v, 1.0), 0.0)
        # a ratio at the rounding of the correlations themselves is zero: y is orthogonal to every feature
        real = np.abs(h) > self.rounding
        self.c_max = float(np.max(np.where(real, ratio, 0.0), initial=0.0))
        self.c = self.c_max
        self.at_kink = self.c_max > 0
        self.swaps = 0
        self.near.look(h, self.active)

    @property
    def active(self) -> list[int]:
        """The features that are not zero on the present piece, in the order in which they joined."""
        return self.support.active

    def advance(self, c_end: float) -> list[Knot]:
        """The knots from where the path stands down to `c_end`; the last entry is the point `c_end` itself.

        Raises:
            PathBroken: at a degenerate knot; the path down to it is complete.
        """
        found: list[Knot] = []
        while True:
            mark = list(self.active), list(self.support.signs), self.c, self.at_kink, self.swaps, self.pieces
            try:
                stretch, ended = self._walk(c_end)
            except (PathBroken, Dependent) as broken:
                if self.near.everything and isinstance(broken, PathBroken):
                    raise
                if self.near.everything:
                    raise PathBroken(self.c, "the active features are linearly dependent") from broken
                self.near.add_all()  # it may be the fault of those that were not looked at
                self._return(*mark)
                continue
            if not self.near.everything:
                last = stretch[-1]
                ends = [*stretch, Knot(self.c, last.active, self._values(last), last.slopes, self.p, False)]
                # of the stretch below its first knot, which the one before has looked at
                residuals = np.stack([self.y - self.X[:, end.active] @ end.values for end in ends])
                correlations = residuals @ self.X / self.n
                missing = self.near.missing(correlations, np.array([end.c for end in ends]))
                if len(missing):
                    self.near.add(missing)
                    self._return(*mark)
                    continue
                self.near.look(correlations[-1], self.active)
            found += stretch
            if ended:
                return found

    def _walk(self, c_end: float) -> tuple[list[Knot], bool]:
        """The next knots down to `c_end`, and whether that is reached; some of them where not all features are near."""
        found: list[Knot] = []
        ties = 0
        while True:
            offset, slope, h0, h1 = self._piece()
            c, feature, sign = self._event(offset, slope, h0, h1)
            if feature is not None and c >= self.c > 0:  # several events at one knot make one entry
                ties += 1
                if ties > TIES:
                    raise PathBroken(self.c, "features keep joining and leaving at one knot")
                self._apply(feature, sign, offset - self.c * slope)
                continue
            ties = 0
            self._check(h0, h1)
            found.append(self._knot(offset, slope))
            if self.c <= c_end:
                return found, True
            self.c, self.at_kink = (c, True) if c > c_end and feature is not None else (c_end, False)
            if self.at_kink:
                assert feature is not None
                self._apply(feature, sign, offset - c * slope)
            if len(found) >= STRETCH and not self.near.everything:
                return found, False

    def _values(self, knot: Knot) -> np.ndarray:
        """The active coefficients where the path stands, on the piece below `knot`."""
        return knot.values + (self.c - knot.c) * knot.slopes

    def _return(self, active: list[int], signs: list[float], c: float, at_kink: bool, swaps: int, pieces: int) -> None:
        """Stand where a stretch began."""
        self.support.take(active, signs)
        self.c, self.at_kink, self.swaps, self.pieces = c, at_kink, swaps, pieces

    def solution(self, c: float, knot: Knot) -> np.ndarray:
        """The coefficients at `c` on the piece below `knot`."""
        return knot.coef + (c - knot.c) * knot.direction

    def gap(self, coef: np.ndarray, c: float) -> float:
        """The duality gap at `coef`, relative to the objective at zero: how well the path solves the problem."""
        residual = self.y - self.X @ coef
        h = self.X.T @ residual / self.n - self.ridge * coef
        penalised = self.v > 0
        ratio = np.divide(np.abs(h), c * self.v, out=np.ones(self.p), where=penalised)
        tau = 1 / max(1.0, float(ratio.max(initial=1.0)))
        slack = np.where(penalised, c * self.v * np.abs(coef) - tau * coef * h, 0.0).sum()
        gap = (1 - tau) ** 2 * residual @ residual / (2 * self.n) + slack
        return abs(float(gap)) / max(float(self.y @ self.y) / (2 * self.n), np.finfo(float).tiny)

    def _piece(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """`w_S = offset - c slope` and, of the features nearby, `h = h0 + c h1`."""
        self.pieces += 1
        b = self.b[self.near.index]
        if not self.active:
            nothing = np.empty(0)
            return nothing, nothing, b, np.zeros(len(b))
        right = np.stack([self.b[self.active], self.v[self.active] * self.support.signs], axis=1)
        offset, slope = self.support.solve(right).T
        # one vector at a time: BLAS is quicker at it than at two columns
        h0, h1 = (values @ self.support.rows for values in (offset, slope))
        if self.gram is None:
            h0, h1 = (self.near.X.T @ ahead / self.n for ahead in (h0, h1))
        if self.ridge:
            place = self.near.place[self.active]
            h0[place] += self.ridge * offset
            h1[place] += self.ridge * slope
        return offset, slope, b - h0, h1

    def _event(
        self, offset: np.ndarray, slope: np.ndarray, h0: np.ndarray, h1: np.ndarray
    ) -> tuple[float, int | None, float]:
        """The next knot: its `c` (at most the present one), the feature, and its sign if it joins (0 if it leaves)."""
        best: tuple[float, int | None, float] = (0.0, None, 0.0)
        v = self.near.v
        outside = v > 0
        outside[self.near.place[self.active]] = False
        for sign in (1.0, -1.0):
            approach = v - sign * h1
            nears = outside & (approach > ROUNDING * (v + np.abs(h1)))
            at = np.divide(sign * h0, approach, out=np.zeros(len(v)), where=nears)
            j = int(np.argmax(at))
            if at[j] > best[0]:
                best = (float(at[j]), int(self.near.index[j]), sign)
        if self.active:
            signs = np.asarray(self.support.signs)
            shrinks = signs * slope < 0
            at = np.divide(offset, slope, out=np.zeros(len(signs)), where=shrinks)
            i = int(np.argmax(at))
            if at[i] > best[0]:
                best = (float(at[i]), self.active[i], 0.0)
        return min(best[0], self.c), best[1], best[2]

    def _apply(self, feature: int, sign: float, values: np.ndarray) -> None:
        """Let `feature` leave (`sign` 0) or join; `values` are the active coefficients at the knot.

        A feature that is a combination `x_j = X_S a` of the active ones joins in exchange for one of them: along
        `w_j += sign t`, `w_S -= sign t a` neither the fit nor the penalty changes, until a coefficient reaches 0.
        """
        if sign == 0:
            self.support.leave(self.active.index(feature))
            return
        cross, square = row = self.support.row(feature)
        reduced, pivot = self.support.reduce(*row)
        if self.active and pivot <= DEPENDENT * square:
            combination = self.support.solve(cross)
            shrinking = np.asarray(self.support.signs) * combination * sign > ROUNDING
            if not shrinking.any():
                raise PathBroken(self.c, "a dependent feature joins and none leaves for it")
            room = np.divide(np.abs(values), np.abs(combination), out=np.full(len(values), np.inf), where=shrinking)
            self.support.leave(int(np.argmin(room)))
            self.swaps += 1
            row = np.delete(cross, int(np.argmin(room))), square
            reduced, pivot = self.support.reduce(*row)
        self.support.join(feature, sign, row, reduced, pivot)

    def _knot(self, offset: np.ndarray, slope: np.ndarray) -> Knot:
        return Knot(self.c, np.array(self.active, np.intp), offset - self.c * slope, -slope, self.p, self.at_kink)

    def _check(self, h0: np.ndarray, h1: np.ndarray) -> None:
        """Whether `|h_j| <= c v_j` still holds at the present knot, up to rounding."""
        excess = np.abs(h0 + self.c * h1) - self.c * self.near.v
        if np.any(excess > 1e-8 * self.c_max * max(1.0, float(self.v.max())) + self.rounding[self.near.index]):
            raise PathBroken(self.c, "the optimality conditions fail there (nearly dependent columns)")
