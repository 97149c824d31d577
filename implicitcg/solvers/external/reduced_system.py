"""The linear system of a cone program on its face, factorised on the host.

With the Jacobian `D` of the projection, the linearised optimality system

    P dx + A^T (D - I) dv = r,   A dx + D dv = t

becomes, in `dx` and `dy = (D - I) dv`, an equality-constrained least-squares problem: hard rows `C dx = t_h`, and soft
rows as springs, which join the Hessian `H = P + B^T W B`. Then `dv = t - A dx - dy`. The transposed system
`P u + A^T w = a`, `(D - I) A u + D w = c` is the same one with `r = a - A^T c` and `t = -c`, and `w = c + dy`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse
import scipy.sparse.linalg

from .cone_faces import Face

DENSE = 350  # unknowns up to which a dense factorisation beats the bookkeeping of a sparse one
FULL = 0.1  # the share of entries from which a matrix is treated as dense, up to LARGE unknowns
LARGE = 3000


class ReducedSystem:
    """The factorised system of a face; `healthy` tells whether it is regular to working precision.

    Where it is not (dependent constraints) and small, `solve` gives the least-squares answer of least norm.
    """

    def __init__(self, P: scipy.sparse.csc_array | None, A: scipy.sparse.csc_array, face: Face):
        self.P, self.A, self.AT, self.face = P, A, A.T, face
        n = A.shape[1]
        column = np.repeat(np.arange(n, dtype=A.indices.dtype), np.diff(A.indptr))
        row, data = A.indices, A.data
        hard, soft = face.hard[row], face.soft[row]
        kept = hard >= 0
        C = (data[kept] * face.hard_factor[row[kept]], hard[kept], column[kept])
        counts = np.bincount(C[1], minlength=face.hard_count)
        self._eliminate(C, counts, n)
        C_entries, C_rows, C_columns = C
        in_core = (self.row_place[C_rows] >= 0) & (self.place[C_columns] >= 0)
        self.extra = [(block, A[block.start : block.stop]) for block in face.turned]
        self.circles = [(block, A[block.start : block.stop]) for block in face.rounds if block.weight]
        size, rows = len(self.free), self.core_rows
        core = scipy.sparse.csr_array(
            (C_entries[in_core], (self.row_place[C_rows[in_core]], self.place[C_columns[in_core]])), shape=(rows, size)
        )
        self.C = scipy.sparse.csr_array((C_entries, (C_rows, C_columns)), shape=(face.hard_count, n))
        springs = soft >= 0
        self.B = scipy.sparse.csr_array(
            (data[springs] * face.soft_factor[row[springs]], (soft[springs], column[springs])),
            shape=(len(face.weight), n),
        )
        self.turned_hard = [block.hard @ part for block, part in self.extra]
        self.turned_soft = [block.soft @ part for block, part in self.extra]
        H = self._hessian(size)
        C_all = [core, *[scipy.sparse.csr_array(part[:, self.free]) for part in self.turned_hard]]
        C_core = scipy.sparse.vstack(C_all, format="csr") if len(C_all) > 1 else core
        self.rows = C_core.shape[0]
        self.blocks = H, C_core
        self._factorise(H, C_core)

    def _eliminate(self, C: tuple[np.ndarray, ...], counts: np.ndarray, n: int) -> None:
        """Hard rows with one entry fix a variable each: it leaves the system together with its row."""
        entries, rows, columns = C
        alone = (counts[rows] == 1) & (entries != 0)
        columns_fixed, first = np.unique(columns[alone], return_index=True)
        self.fixed, self.fixing = columns_fixed, rows[alone][first]
        self.pivot = entries[alone][first]
        free = np.ones(n, bool)
        free[self.fixed] = False
        self.free = np.flatnonzero(free)
        self.place = np.full(n, -1)
        self.place[self.free] = np.arange(len(self.free))
        core = np.ones(len(counts), bool)
        core[self.fixing] = False
        self.core = np.flatnonzero(core)
        self.core_rows = len(self.core)
        self.row_place = np.full(len(counts), -1)
        self.row_place[self.core] = np.arange(self.core_rows)

    def _hessian(self, size: int) -> Any:
        free = self.free
        dense = bool(self.circles or self.extra) and size <= LARGE
        H: Any = np.zeros((size, size)) if dense else scipy.sparse.csr_array((size, size))
        if self.P is not None:
            part = self.P[:, free][free]
            H = H + (part.toarray() if dense else part)
        if self.B.shape[0]:
            B = self.B[:, free]
            part = B.T @ (scipy.sparse.diags_array(self.face.weight) @ B)
            H = H + (part.toarray() if dense else part)
        for block, part in self.circles:
            rows = part[:, free]
            ray, normal = block.ray @ rows, block.normal @ rows
            if dense:
                rows = rows.toarray()
                H += block.weight * (rows.T @ rows - np.outer(ray, ray) - np.outer(normal, normal))
            else:
                ends = scipy.sparse.csr_array(np.stack([ray, normal]))
                H = H + block.weight * (rows.T @ rows - ends.T @ ends)
        for (block, _), soft in zip(self.extra, self.turned_soft, strict=True):
            rows = np.asarray(soft[:, free])
            part = rows.T @ (block.weight[:, None] * rows)
            H = H + (part if dense else scipy.sparse.csr_array(part))
        return H

    def _factorise(self, H: Any, C: Any) -> None:
        size, total = H.shape[0], H.shape[0] + C.shape[0]
        filled = H.size if isinstance(H, np.ndarray) else H.nnz
        self.dense = total <= DENSE or (total <= LARGE and filled + 2 * C.nnz > FULL * total**2)
        self.healthy, self.condition, self.pseudo_inverse = True, 1.0, None
        if total == 0:
            return
        if self.dense:
            K = np.zeros((total, total), order="F")
            K[:size, :size] = H if isinstance(H, np.ndarray) else H.toarray()
            K[size:, :size] = C.toarray()
            K[:size, size:] = K[size:, :size].T
            top = np.abs(K).max(axis=1)
            self.scale = 1 / np.sqrt(np.where(top > 0, top, 1))
            K *= self.scale[:, None] * self.scale
            kept = K.copy() if total <= DENSE else None
            norm = np.abs(K).sum(axis=0).max()
            self.lu, self.pivots, info = scipy.linalg.lapack.dgetrf(K, overwrite_a=1)
            condition, _ = scipy.linalg.lapack.dgecon(self.lu, norm)
            self.healthy = info == 0 and condition > 10 * total * np.finfo(float).eps
            self.condition = condition
            if not self.healthy and kept is not None:
                self.pseudo_inverse = np.linalg.pinv(kept, rcond=1e-12, hermitian=True)
            return
        K = scipy.sparse.csc_array(scipy.sparse.block_array([[H, C.T], [C, None]]))
        top = np.maximum(scipy.sparse.linalg.norm(K, np.inf, axis=1), 0)
        self.scale = 1 / np.sqrt(np.where(top > 0, top, 1))
        S = scipy.sparse.diags_array(self.scale)
        K = scipy.sparse.csc_array(S @ K @ S)
        try:
            self.lu = scipy.sparse.linalg.splu(K)
        except RuntimeError:  # exactly singular
            self.healthy, self.condition = False, 0.0
            return
        v = np.cos(1.0 + np.arange(total))
        for _ in range(3):  # inverse iteration, as `linear.solves.reciprocal_condition`
            growth = np.linalg.norm(v)
            v = self.lu.solve(v / growth)
        self.condition = 1 / max(np.linalg.norm(v), 1e-300) if np.isfinite(v).all() else 0.0
        self.healthy = self.condition > 10 * total * np.finfo(float).eps

    def unique(self) -> bool:
        """Whether `H d = 0`, `C d = 0` only for `d = 0`; without it the solution in `x` is not unique.

        Judged on `H + C^T C`, scaled to unit diagonal.
        """
        H, C = self.blocks
        matrix = (H if isinstance(H, np.ndarray) else H.toarray()) + (C.T @ C).toarray()
        diagonal = np.diagonal(matrix)
        if not np.all(diagonal > 0):
            return False
        scale = 1 / np.sqrt(diagonal)
        smallest = np.linalg.eigvalsh(matrix * scale[:, None] * scale)[0] if len(scale) else 1.0
        return bool(smallest > 10 * max(len(scale), 1) * np.finfo(float).eps)

    def _core_solve(self, rhs: np.ndarray) -> np.ndarray:
        if rhs.shape[0] == 0:
            return rhs
        scaled = rhs * self.scale
        if self.pseudo_inverse is not None:
            found = self.pseudo_inverse @ scaled
        elif self.dense:
            found, _ = scipy.linalg.lapack.dgetrs(self.lu, self.pivots, scaled)
        else:
            found = self.lu.solve(scaled)
        return found * self.scale

    def _springs(self, dx: np.ndarray, t: np.ndarray) -> np.ndarray:
        """The multipliers `W (B dx - t)` of the soft rows, as part of `dy`."""
        face, dy = self.face, np.zeros(len(t))
        if len(face.weight):
            forces = face.weight * (self.B @ dx - self._gathered(face.soft, face.soft_factor, t, len(face.weight)))
            used = face.soft >= 0
            dy[used] += face.soft_factor[used] * forces[face.soft[used]]
        for block, part in self.circles:
            gap = part @ dx - t[block.start : block.stop]
            gap -= block.ray * (block.ray @ gap) + block.normal * (block.normal @ gap)
            dy[block.start : block.stop] += block.weight * gap
        for (block, _), soft in zip(self.extra, self.turned_soft, strict=True):
            forces = block.weight * (soft @ dx - block.soft @ t[block.start : block.stop])
            dy[block.start : block.stop] += forces @ block.soft
        return dy

    @staticmethod
    def _gathered(ids: np.ndarray, factor: np.ndarray, t: np.ndarray, count: int) -> np.ndarray:
        used = ids >= 0
        return np.bincount(ids[used], factor[used] * t[used], minlength=count)

    def solve(self, r: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`(dx, dy)` for right sides `r` `(n,)` and `t` `(m,)`."""
        dx, dy = self._solve(r, t)
        # once more on what is left: stiff springs cost digits
        left = r - self.AT @ dy - (0 if self.P is None else self.P @ dx)
        more, dy_more = self._solve(left, np.zeros_like(t))
        return dx + more, dy + dy_more

    def _solve(self, r: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        face, n = self.face, len(r)
        hard = self._gathered(face.hard, face.hard_factor, t, face.hard_count)
        dx = np.zeros(n)
        dx[self.fixed] = hard[self.fixing] / self.pivot
        springs = self._springs(dx, t)
        top = r - self.AT @ springs - (0 if self.P is None else self.P @ dx)
        bottom = [(hard - self.C @ dx)[self.core]]
        for (block, _), rows in zip(self.extra, self.turned_hard, strict=True):
            bottom.append(block.hard @ t[block.start : block.stop] - rows @ dx)
        size = len(self.free)
        found = self._core_solve(np.concatenate([top[self.free], *bottom]))
        step = np.zeros(n)
        step[self.free] = found[:size]
        dx = dx + step
        dy = springs + self._springs(step, np.zeros_like(t))
        multipliers = np.zeros(face.hard_count)
        multipliers[self.core] = found[size : size + self.core_rows]
        start = size + self.core_rows
        for (block, _), rows in zip(self.extra, self.turned_hard, strict=True):
            dy[block.start : block.stop] += found[start : start + rows.shape[0]] @ block.hard
            start += rows.shape[0]
        used = face.hard >= 0
        dy[used] += face.hard_factor[used] * multipliers[face.hard[used]]
        if len(self.fixed):
            left = r - self.AT @ dy - (0 if self.P is None else self.P @ dx)
            multipliers[:] = 0
            multipliers[self.fixing] = left[self.fixed] / self.pivot
            dy[used] += face.hard_factor[used] * multipliers[face.hard[used]]
        return dx, dy
