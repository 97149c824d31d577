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

import numpy as np

from ..abandoned import Abandoned
from ..thresholds import THRESHOLDS
from .active import Dependent, Support
from .piece import ROUNDING, Knot, NextKnot, Piece
from .screening import Nearby

DEPENDENT = 1e-10  # 1 - R^2 of a feature on the active ones below which it is taken as a combination of them
TIES = 200  # events allowed at one value of c before the path is called degenerate


class PathBroken(Abandoned):
    """The path cannot be continued below `c`: dependent columns swap at a knot in a way that is not understood."""

    def __init__(self, c: float, why: str):
        super().__init__(c, why)  # as they came, so that other processes can hand it on
        self.c, self.why = c, why

    def __str__(self) -> str:
        return (
            f"The pieces could not all be examined (the exact path stops at penalty {self.c:.6g}: {self.why}), so the "
            "search went by solves."
        )


class LassoPath:
    """Walks down the path of one problem; `advance(c)` returns the knots down to `c` and can be called again for less.

    Args:
        X: design matrix `(n, p)`; y: response `(n,)`; weights: `v` of shape `(p,)`, zero for an unpenalised feature.
        fit_intercept: whether an intercept is fitted.
        ridge: the factor of `||w||^2 / 2`, the same all along the path.
    """

    def __init__(self, X: np.ndarray, y: np.ndarray, weights: np.ndarray, fit_intercept: bool, ridge: float = 0.0):
        X, y = np.asarray(X, np.float64), np.asarray(y, np.float64)
        self.n, self.p = X.shape
        self.x_mean = X.mean(axis=0) if fit_intercept else np.zeros(self.p)
        self.y_mean = float(y.mean()) if fit_intercept else 0.0
        self.X = np.subtract(X, self.x_mean, out=np.empty(X.shape, order="F"))
        size = np.sqrt(np.einsum("ij,ij->j", self.X, self.X))
        # a constant column leaves nothing but the rounding of its own mean
        constant = size <= 1e-14 * np.sqrt(self.n) * np.abs(self.x_mean)
        self.X[:, constant] = size[constant] = 0.0
        self.y = y - self.y_mean
        self.fit_intercept, self.ridge = fit_intercept, ridge
        self.v = np.asarray(weights, np.float64)
        self.b = self.X.T @ self.y / self.n
        self.rounding = 1e-14 * size * np.linalg.norm(self.y) / self.n
        self.near = Nearby(self.X, size, self.v, self.b, self.rounding)
        # with it a piece costs O(k p) instead of O(n p); with more features than samples it is larger than X itself
        self.gram = self.X.T @ self.X / self.n if self.p <= self.n else None
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
        self._below: tuple[Piece, NextKnot] | None = None  # where the path stands, once it is known
        self.c = np.inf
        self.pieces = 0
        for j in np.flatnonzero(self.v == 0):
            row = self.support.row(int(j))
            reduced, pivot = self.support.reduce(*row)
            if pivot > DEPENDENT * row[1]:  # else it adds nothing to the fit
                self.support.join(int(j), 0.0, row, reduced, pivot)
        self.pieces += 1
        fitted = self.support.solve(self.b[self.active]) if len(self.active) else np.empty(0)
        residual = self.y - self.X[:, self.active] @ fitted
        h = self.X.T @ residual / self.n
        penalised = self.v > 0
        ratio = np.where(penalised, np.abs(h) / np.where(penalised, self.v, 1.0), 0.0)
        # a ratio at the rounding of the correlations themselves is zero: y is orthogonal to every feature
        real = np.abs(h) > self.rounding
        self.c_max = float(np.max(np.where(real, ratio, 0.0), initial=0.0))
        self.c = self.c_max
        self.tolerance = 1e-8 * self.c_max * max(1.0, float(self.v.max(initial=0.0)))
        self.at_kink = self.c_max > 0
        self.swaps = 0
        self.near.look(h, self.active)

    @property
    def active(self) -> np.ndarray:
        """The features that are not zero on the present piece, in the order in which they joined."""
        return self.support.active

    def advance(self, c_end: float) -> list[Knot]:
        """The knots from where the path stands down to `c_end`; the last entry is the point `c_end` itself.

        Raises:
            PathBroken: at a degenerate knot; the path down to it is complete.
        """
        # A stretch is gone as if only the features nearby existed. Whatever goes wrong on it, a feature that should
        # have joined or a factor that broke, may be the fault of one that was not looked at: then back to the mark,
        # and again with more of them. Only where all are near is it the path itself that cannot be continued.
        found: list[Knot] = []
        while True:
            mark = self.active.copy(), self.support.signs.copy(), self.c, self.at_kink, self.swaps, self.pieces
            try:
                stretch, ends, ended = self._walk(c_end)
            except (PathBroken, Dependent) as broken:
                if self.near.everything and isinstance(broken, PathBroken):
                    raise
                if self.near.everything:
                    raise PathBroken(self.c, "the active features are linearly dependent") from broken
                self.near.add_all()  # it may be the fault of those that were not looked at
                self._return(*mark)
                continue
            if ends:
                strengths, residuals = (np.array(part) for part in zip(*ends, strict=True))
                missing, correlations = self.near.missing(residuals, strengths)
                if len(missing):
                    self.near.add(missing)
                    self._return(*mark)
                    continue
                self.near.look(correlations, self.active)
                self._below = None
            found += stretch
            if ended:
                return found

    def _walk(self, c_end: float) -> tuple[list[Knot], list[tuple[float, np.ndarray]], bool]:
        """The next knots down to `c_end`, and whether that is reached; some of them where not all features are near.

        Then also the ends of their pieces, each `c` with its residual, for a look at all features.
        """
        found: list[Knot] = []
        ends: list[tuple[float, np.ndarray]] = []
        some, ties = not self.near.everything, 0
        while True:
            if self._below is None:
                fresh = self._piece()
                self._below = fresh, fresh.event(self.near, self.active, self.support.signs)
            piece, event = self._below
            # After a feature has joined, the next event may lie at the same knot, or by rounding above it: several that
            # tie join one after the other without the path moving, and the knot is reported once, with all of them in.
            if event.feature is not None and event.c >= self.c > 0:
                ties += 1
                if ties > TIES:
                    raise PathBroken(self.c, "features keep joining and leaving at one knot")
                self._apply(event, piece.values(self.c))
                continue
            ties = 0
            # the factor is updated, never refined, and this is where its error would show: at every knot the solution
            # of the piece must satisfy the conditions of all features nearby
            if piece.excess(self.near, self.c) > self.tolerance:
                raise PathBroken(self.c, "the optimality conditions fail there (nearly dependent columns)")
            here = self.active.copy(), piece.values(self.c), -piece.slope
            found.append(Knot(self.c, *here, self.p, self.at_kink))
            if some:
                ends.append((self.c, piece.residual(self.y, self.c)))
            if self.c <= c_end:
                return found, ends, True
            self.at_kink = event.c > c_end and event.feature is not None
            self.c = event.c if self.at_kink else c_end
            if some and len(found) >= THRESHOLDS.stretch:  # the piece below is looked at with the next stretch
                ends.append((self.c, piece.residual(self.y, self.c)))
            if self.at_kink:
                self._apply(event, piece.values(self.c))
            if some and len(found) >= THRESHOLDS.stretch:
                return found, ends, False

    def _return(self, active: np.ndarray, signs: np.ndarray, c: float, at_kink: bool, swaps: int, pieces: int) -> None:
        """Stand where a stretch began."""
        self.support.take(active, signs)
        self._below = None
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

    def _piece(self) -> Piece:
        """The piece below `c` with the present active features."""
        self.pieces += 1
        active, near = self.active, self.near
        if not len(active):
            nothing, zero = np.empty(0), np.zeros(self.n)
            return Piece(nothing, nothing, near.b, np.zeros(len(near.b)), zero, zero)
        # one solve with two right sides: w_S = G^-1 b_S - c G^-1 (v s)_S; what they make of all features, too, is one
        # product, by rows of the Gram matrix where it is known, else by way of the samples
        right = np.array([self.b[active], self.v[active] * self.support.signs])
        moving = self.support.solve(right.T).T
        fits = moving @ self.support.rows
        both = fits if self.gram is not None else (fits / self.n) @ near.X
        if self.ridge:
            both[:, near.place[active]] += self.ridge * moving
        return Piece(moving[0], moving[1], near.b - both[0], both[1], fits[0], fits[1])

    def _apply(self, event: NextKnot, values: np.ndarray) -> None:
        """Let a feature leave or join; `values` are the active coefficients at the knot.

        A feature that is a combination `x_j = X_S a` of the active ones joins in exchange for one of them: along
        `w_j += sign t`, `w_S -= sign t a` neither the fit nor the penalty changes, until a coefficient reaches 0.
        """
        self._below = None
        _, feature, sign = event
        assert feature is not None
        if sign == 0:
            self.support.leave(int(np.flatnonzero(self.active == feature)[0]))
            return
        cross, square = row = self.support.row(feature)
        reduced, pivot = self.support.reduce(*row)
        if len(self.active) and pivot <= DEPENDENT * square:
            combination = self.support.solve(cross)
            shrinking = self.support.signs * combination * sign > ROUNDING
            if not shrinking.any():
                raise PathBroken(self.c, "a dependent feature joins and none leaves for it")
            room = np.divide(np.abs(values), np.abs(combination), out=np.full(len(values), np.inf), where=shrinking)
            self.support.leave(int(np.argmin(room)))
            self.swaps += 1
            row = np.delete(cross, int(np.argmin(room))), square
            reduced, pivot = self.support.reduce(*row)
        self.support.join(feature, sign, row, reduced, pivot)
