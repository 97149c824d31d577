"""What a certificate says, and the test of positive definiteness behind many of them."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

Verdict = Literal["certified", "singular", "unknown"]


@dataclasses.dataclass(frozen=True)
class Certificate:
    """The verdict on every element of the conservative Jacobian at a solution.

    Attributes:
        verdict: `"certified"`: every selection is invertible, so the nonsmooth implicit function theorem applies and
            the solution is path differentiable; `"singular"`: some selection is not, and derivatives may be anything;
            `"unknown"`: neither could be shown.
        kinks: number of active kinks, those closer than the solution's own error.
        margin: distance to the nearest kink, in the units of the unknown (for a LASSO: how far a coefficient, or a
            proximal argument, would have to move to change the active set); infinite where there is none.
        min_singular_value: smallest singular value of `B` on its face over the selections examined, or of the matrix
            of the sufficient condition; 1 where the face is empty, since `B` is then the identity.
        selections: how many elements the verdict covers.
        reason: why, in a sentence.
    """

    verdict: Verdict
    kinks: int
    margin: float
    min_singular_value: float
    selections: int
    reason: str

    def __str__(self) -> str:
        lines = [
            f"{self.verdict}: {self.reason}",
            f"  active kinks          {self.kinks}  ({_count(self.selections)} covered)",
            f"  margin                {self.margin:.3g}",
            f"  min singular value    {self.min_singular_value:.3g}",
        ]
        return "\n".join(lines)


def judge_positive_definite(matrix: np.ndarray) -> tuple[bool, float]:
    """Whether a symmetric matrix is positive definite beyond rounding, and its smallest eigenvalue.

    Judged after scaling to unit diagonal, so that the units of the columns do not matter: the smallest eigenvalue of
    the scaled matrix must exceed `10 k eps`.
    """
    if matrix.shape[0] == 0:
        return True, 1.0
    diagonal = np.diagonal(matrix)
    smallest = float(np.linalg.eigvalsh(matrix)[0])
    if not np.all(diagonal > 0):
        return False, min(smallest, 0.0)
    scale = 1 / np.sqrt(diagonal)
    scaled = float(np.linalg.eigvalsh(matrix * scale[:, None] * scale[None, :])[0])
    return scaled > 10 * matrix.shape[0] * np.finfo(matrix.dtype).eps, smallest


def _count(selections: int) -> str:
    if selections == 1:
        return "1 selection"
    return f"{selections} selections" if selections < 10**6 else f"{float(selections):.1e} selections"
