"""The linear system of a cone program on its face, condensed to what does not follow from the rest, and dense."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg

from .faces import EPS, Face, selector
from .system import ConeSystem, filled

lapack: Any = scipy.linalg.lapack


class CondensedSystem(ConeSystem):
    """`[[H, C^T], [C, 0]]` for the free variables and the hard rows, by a dense factorisation.

    Hard rows with one entry fix their variable, and both leave the system; soft rows are springs in `H`. Where it is
    not regular (dependent constraints), `solve` gives the least-squares answer of least norm.
    """

    def __init__(self, P: Any, A: Any, face: Face):
        self.face, self.T = face, filled(selector(face))
        self.P: Any = None if P is None else filled(P)
        self.A: Any = filled(A)
        self.AT, self.TT = self.A.T, self.T.T
        self._fix(A, face)
        # Springs are added up in `H` and take no row of their own, so that the size is that of the free variables and
        # the hard rows, however many soft rows there are; what that costs in digits, `solve` wins back.
        G = filled(self.A[:, self.free], whole=True)
        TG = self.T @ G
        hard = [TG[self.core], *[block.hard @ G[block.start : block.stop] for block in face.turned]]
        B = TG[face.hard_count :]
        H = B.T @ (face.weight[:, None] * B)
        if P is not None:
            H += filled(self.P[:, self.free][self.free], whole=True)
        self.circles = [block for block in face.rounds if block.weight]
        for block in self.circles:
            part = G[block.start : block.stop]
            ray, normal = block.ray @ part, block.normal @ part
            # all directions but two are equally stiff: what these two pull is taken off, and no basis is formed
            H += block.weight * (part.T @ part - np.outer(ray, ray) - np.outer(normal, normal))
        for block in face.turned:
            part = block.soft @ G[block.start : block.stop]
            H += part.T @ (block.weight[:, None] * part)
        self._factorise(H, np.concatenate(hard) if len(hard) > 1 else hard[0])
        dense = sum(part.nbytes for part in (self.A, self.P) if isinstance(part, np.ndarray))
        self.bytes = 8 * (2 * (len(self.H) + len(self.C)) ** 2 + self.T.size) + dense

    def _fix(self, A: Any, face: Face) -> None:
        # Most hard rows of a program that somebody wrote are bounds, with one entry: they are solved by a division, and
        # what is left is often a tenth. Of two that fix one variable the second stays: it has no entry in the free
        # variables, so that the core has a row of zeros and is found singular, as it is.
        hard = face.hard[A.indices]
        counts = np.append(np.bincount(hard[hard >= 0], minlength=face.hard_count), 0)  # and one for -1, no row
        alone = np.flatnonzero((counts[hard] == 1) & (A.data != 0))
        column = np.searchsorted(A.indptr, alone, side="right") - 1
        self.fixed, first = np.unique(column, return_index=True)
        self.fixing = hard[alone[first]]
        self.pivot = A.data[alone[first]] * face.hard_factor[A.indices[alone[first]]]
        free, core = np.ones(A.shape[1], bool), np.ones(face.hard_count, bool)
        free[self.fixed] = core[self.fixing] = False
        self.free, self.core = np.flatnonzero(free), np.flatnonzero(core)

    def _factorise(self, H: np.ndarray, C: np.ndarray) -> None:
        self.H, self.C = H, C
        size, total = len(H), len(H) + len(C)
        self.healthy = True
        if total == 0:
            return
        K = np.zeros((total, total), order="F")
        K[:size, :size], K[size:, :size], K[:size, size:] = H, C, C.T
        # to a largest entry near one in every row and column: the condition should judge how rows and springs lie to
        # each other, not the units of variables and constraints
        top = np.abs(K).max(axis=1)
        self.scale = 1 / np.sqrt(np.where(top > 0, top, 1))
        K *= self.scale[:, None] * self.scale
        norm = np.abs(K).sum(axis=0).max()
        self.lu, self.pivots, info = lapack.dgetrf(K, overwrite_a=1)
        self.healthy = info == 0 and float(lapack.dgecon(self.lu, norm)[0]) > 10 * total * EPS

    @cached_property
    def _pseudo_inverse(self) -> np.ndarray:
        zero = np.zeros((len(self.C), len(self.C)))
        K = np.block([[self.H, self.C.T], [self.C, zero]]) * self.scale[:, None] * self.scale
        return np.linalg.pinv(K, rcond=1e-12, hermitian=True)

    def unique(self) -> bool:
        """Whether `H d = 0`, `C d = 0` only for `d = 0`: `H + C^T C`, scaled to unit diagonal, is positive definite."""
        matrix = self.H + self.C.T @ self.C
        diagonal = np.diagonal(matrix)
        if not np.all(diagonal > 0):
            return False
        scale = 1 / np.sqrt(diagonal)
        smallest = np.linalg.eigvalsh(matrix * scale[:, None] * scale)[0] if len(scale) else 1.0
        return bool(smallest > 10 * len(scale) * EPS)

    def consistent(self, dx: np.ndarray, t: np.ndarray) -> bool:
        """See `ConeSystem.consistent`: where the system is regular, every right side has a solution."""
        return self.healthy

    def solve(self, r: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `ConeSystem.solve`."""
        dx, dy = self._solve(r, t)
        # Once more on what is left, since stiff springs cost digits; of the first equation alone, for the second holds
        # by the way `dy` is made of `dx`.
        more, dy_more = self._solve(r - self._gradient(dx, dy), np.zeros_like(t))
        return dx + more, dy + dy_more

    def _gradient(self, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
        return self.AT @ dy if self.P is None else self.AT @ dy + self.P @ dx

    def _solve(self, r: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        face, size, count = self.face, len(self.free), self.face.hard_count
        gathered = self.T @ t
        dx = np.zeros(len(r))
        # fixed variables first, then the core for the step in the free ones, then the multipliers of the rows that fix:
        # of each, whatever the gradient lacks in its variable
        dx[self.fixed] = gathered[self.fixing] / self.pivot
        Adx = self.A @ dx
        dy = self._springs(Adx - t)
        bottom = [gathered[self.core] - (self.T @ Adx)[self.core]]
        bottom += [block.hard @ (t - Adx)[block.start : block.stop] for block in face.turned]
        found = self._core_solve(np.concatenate([(r - self._gradient(dx, dy))[self.free], *bottom]))
        step = np.zeros(len(r))
        step[self.free] = found[:size]
        dx += step
        dy += self._springs(self.A @ step)
        multipliers = np.zeros(self.T.shape[0])
        start = size + len(self.core)
        multipliers[self.core] = found[size:start]
        for block in face.turned:
            dy[block.start : block.stop] += found[start : start + len(block.hard)] @ block.hard
            start += len(block.hard)
        if count:
            dy += self.TT @ multipliers
        if len(self.fixed):
            multipliers[:] = 0
            multipliers[self.fixing] = (r - self._gradient(dx, dy))[self.fixed] / self.pivot
            dy += self.TT @ multipliers
        return dx, dy

    def _core_solve(self, rhs: np.ndarray) -> np.ndarray:
        if len(rhs) == 0:
            return rhs
        if not self.healthy:
            return self.scale * (self._pseudo_inverse @ (rhs * self.scale))
        # SciPy counts pivots from zero and LAPACK from one: `dgetrs` adds one to those it is given, in place, lets the
        # other threads run while LAPACK works, and takes the one off again. Threads that share factors share no pivots.
        return self.scale * lapack.dgetrs(self.lu, self.pivots.copy(), rhs * self.scale)[0]

    def _springs(self, stretch: np.ndarray) -> np.ndarray:
        """The part of `dy` that the soft rows pull with when `A dx - t` is `stretch`."""
        face, dy = self.face, np.zeros(len(stretch))
        if len(face.weight):
            forces: Any = np.zeros(self.T.shape[0])
            forces[face.hard_count :] = face.weight * (self.T @ stretch)[face.hard_count :]
            dy += self.TT @ forces
        for block in self.circles:
            gap = stretch[block.start : block.stop]
            gap = gap - block.ray * (block.ray @ gap) - block.normal * (block.normal @ gap)
            dy[block.start : block.stop] += block.weight * gap
        for block in face.turned:
            forces = block.weight * (block.soft @ stretch[block.start : block.stop])
            dy[block.start : block.stop] += forces @ block.soft
        return dy
