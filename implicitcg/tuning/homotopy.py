"""The exact path of a weighted LASSO: every piece, every knot, without a grid.

Along `c` the solution of

    min_w 1/(2n) ||C (y - X w)||^2 + ridge/2 ||w||^2 + c sum_j v_j |w_j|

is affine between knots (`C` centres when an intercept is fitted; a `ridge` makes it an elastic net). On a piece with
active set `S` and signs `s`, with `G = X^T C X / n + ridge I` and `b = X^T C y / n`,

    w_S(c) = G_SS^{-1} b_S - c G_SS^{-1} (v_S s_S),      h(c) = b - G[:, S] w_S(c),

and the piece ends where some `|h_j| = c v_j` outside `S` (the feature joins) or some `w_j = 0` inside (it leaves).
Nothing is carried from piece to piece but `S` and `s`, so rounding does not accumulate. Everything runs in float64 on
the host: one piece costs one small factorisation, and nothing needs to be compiled.

Source: Osborne, Presnell, Turlach, A new approach to variable selection in least squares problems, 2000; Efron et al.,
Least angle regression, 2004.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs, dtrtrs  # pyright: ignore[reportAttributeAccessIssue]

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
    """The path at one `c`: the solution, the direction `dw/dc` of the piece below, and whether a kink is there."""

    c: float
    coef: np.ndarray
    direction: np.ndarray
    kink: bool


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
        self._begin()

    def with_ridge(self, ridge: float) -> LassoPath:
        """The path of the same data with another ridge, at its top."""
        other = copy.copy(self)
        other.ridge = ridge
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
        self.gram = np.empty((0, self.p))  # row i: X^T C x_j / n of the i-th active feature
        self.factor = np.empty((0, 0))  # lower Cholesky factor of the active block of the Gram matrix
        self.active: list[int] = []
        self.signs: list[float] = []
        self.c = np.inf
        self.pieces = 0
        for j in np.flatnonzero(self.v == 0):
            row = self._row(int(j))
            reduced, pivot = self._reduce(row, int(j))
            if pivot > DEPENDENT * row[j]:  # else it adds nothing to the fit
                self._join(int(j), 0.0, row, reduced, pivot)
        _, _, h0, _ = self._piece()
        penalised = self.v > 0
        ratio = np.where(penalised, np.abs(h0) / np.where(penalised, self.v, 1.0), 0.0)
        # a ratio at the rounding of the correlations themselves is zero: y is orthogonal to every feature
        real = np.abs(h0) > self.rounding
        self.c_max = float(np.max(np.where(real, ratio, 0.0), initial=0.0))
        self.c = self.c_max
        self.at_kink = self.c_max > 0
        self.swaps = 0

    def advance(self, c_end: float) -> list[Knot]:
        """The knots from where the path stands down to `c_end`; the last entry is the point `c_end` itself.

        Raises:
            PathBroken: at a degenerate knot; the path down to it is complete.
        """
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
                return found
            self.c, self.at_kink = (c, True) if c > c_end and feature is not None else (c_end, False)
            if self.at_kink:
                assert feature is not None
                self._apply(feature, sign, offset - c * slope)

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
        """`w_S = offset - c slope` and `h = h0 + c h1` for the present active set and signs."""
        self.pieces += 1
        if not self.active:
            nothing = np.empty(0)
            return nothing, nothing, self.b, np.zeros(self.p)
        right = np.stack([self.b[self.active], self.v[self.active] * self.signs], axis=1)
        rows, both = self.gram[: len(self.active)], self._solve(right)
        moved = both.T @ rows
        return both[:, 0], both[:, 1], self.b - moved[0], moved[1]

    def _event(
        self, offset: np.ndarray, slope: np.ndarray, h0: np.ndarray, h1: np.ndarray
    ) -> tuple[float, int | None, float]:
        """The next knot: its `c` (at most the present one), the feature, and its sign if it joins (0 if it leaves)."""
        best: tuple[float, int | None, float] = (0.0, None, 0.0)
        outside = self.v > 0
        outside[self.active] = False
        for sign in (1.0, -1.0):
            approach = self.v - sign * h1
            nears = outside & (approach > ROUNDING * (self.v + np.abs(h1)))
            at = np.divide(sign * h0, approach, out=np.zeros(self.p), where=nears)
            j = int(np.argmax(at))
            if at[j] > best[0]:
                best = (float(at[j]), j, sign)
        if self.active:
            signs = np.asarray(self.signs)
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
            self._leave(self.active.index(feature))
            return
        row = self._row(feature)
        reduced, pivot = self._reduce(row, feature)
        if self.active and pivot <= DEPENDENT * row[feature]:
            combination = self._solve(row[self.active])
            shrinking = np.asarray(self.signs) * combination * sign > ROUNDING
            if not shrinking.any():
                raise PathBroken(self.c, "a dependent feature joins and none leaves for it")
            room = np.divide(np.abs(values), np.abs(combination), out=np.full(len(values), np.inf), where=shrinking)
            self._leave(int(np.argmin(room)))
            self.swaps += 1
            reduced, pivot = self._reduce(row, feature)
        self._join(feature, sign, row, reduced, pivot)

    def _solve(self, right: np.ndarray) -> np.ndarray:
        """`G_SS^{-1} right`."""
        count = len(self.active)
        return dpotrs(self.factor[:count, :count], right, lower=1)[0]

    def _row(self, feature: int) -> np.ndarray:
        """Row `feature` of `G`."""
        row = self.X[:, feature] @ self.X / self.n
        row[feature] += self.ridge
        return row

    def _reduce(self, row: np.ndarray, feature: int) -> tuple[np.ndarray, float]:
        """The new row of the Cholesky factor if `feature` joined, and its squared pivot: what no other spans."""
        count = len(self.active)
        reduced = np.empty(0)
        if count:
            reduced = dtrtrs(self.factor[:count, :count], row[self.active], lower=1)[0]
        return reduced, float(row[feature] - reduced @ reduced)

    def _leave(self, position: int) -> None:
        count = len(self.active)
        self.gram[position : count - 1] = self.gram[position + 1 : count]
        del self.active[position], self.signs[position]
        if count > 1:
            factor, failed = dpotrf(self.gram[: count - 1, self.active], lower=1)
            if failed:
                raise PathBroken(self.c, "the active features are linearly dependent")
            self.factor[: count - 1, : count - 1] = factor

    def _join(self, feature: int, sign: float, row: np.ndarray, reduced: np.ndarray, pivot: float) -> None:
        if not pivot > 0:
            raise PathBroken(self.c, "the active features are linearly dependent")
        count = len(self.active)
        if count >= len(self.gram):
            room = max(16, 2 * count)
            self.gram = np.concatenate([self.gram[:count], np.empty((room - count, self.p))])
            larger = np.zeros((room, room), order="F")
            larger[:count, :count] = self.factor[:count, :count]
            self.factor = larger
        self.gram[count] = row
        self.factor[count, :count] = reduced
        self.factor[count, count] = np.sqrt(pivot)
        self.active.append(feature)
        self.signs.append(sign)

    def _knot(self, offset: np.ndarray, slope: np.ndarray) -> Knot:
        coef, direction = np.zeros(self.p), np.zeros(self.p)
        if self.active:
            coef[self.active] = offset - self.c * slope
            direction[self.active] = -slope
        return Knot(self.c, coef, direction, self.at_kink)

    def _check(self, h0: np.ndarray, h1: np.ndarray) -> None:
        """Whether `|h_j| <= c v_j` still holds at the present knot, up to rounding."""
        excess = np.abs(h0 + self.c * h1) - self.c * self.v
        if np.any(excess > 1e-8 * self.c_max * max(1.0, float(self.v.max())) + self.rounding):
            raise PathBroken(self.c, "the optimality conditions fail there (nearly dependent columns)")
