"""The Jacobian as an affine function of its kinks: what each scalar kink adds, by one flip at a time."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from .alternatives import Alternatives, alternatives
from .elements import Elements

CHUNK = 32  # Jacobians evaluated at a time


class RankOneTerms(NamedTuple):
    """`J(d) = base + sum_i d_i u_i v_i^T` for `d` in `[0, 1]^k`; `u_i`, `v_i` are the rows of `left` and `right`."""

    base: np.ndarray
    left: np.ndarray
    right: np.ndarray


def rank_one_terms(problem: Elements) -> RankOneTerms | None:
    """The Jacobian of a program where it is, as an affine function of its kinks, or `None` where it is not one.

    `k + 3` Jacobians are evaluated for `k` kinks, where enumeration needs `2^k`. The form holds when every kink is
    scalar and none is seen through another; it is verified at the opposite vertex and at a random point of the box.
    """
    records = enumerate(zip(problem.linear.sites, problem.records({}), strict=True))
    free = [alternatives(i, site, record, problem.tol) for i, (site, record) in records]
    kinked: list[Alternatives] = [a for a in free if a is not None]
    if not kinked or any(a.site.kind != "interval" or not a.exhaustive for a in kinked):
        return None
    k = sum(a.kinks for a in kinked)

    def jacobians(d: np.ndarray) -> np.ndarray:
        """One Jacobian for each row of `d`, `(rows, k)`."""
        padded = np.concatenate([d, np.zeros((-len(d) % CHUNK, k))])
        batch, start = {}, 0
        for a in kinked:
            stop = start + a.kinks
            weights = [a.filled([np.asarray([w]) for w in row[start:stop]]) for row in padded]
            batch[a.index], start = np.stack(weights), stop
        parts = [
            np.asarray(problem.evaluate({i: jnp.asarray(w[j : j + CHUNK]) for i, w in batch.items()})[1])
            for j in range(0, len(padded), CHUNK)
        ]
        return np.concatenate(parts)[: len(d)]

    probe = np.stack([np.zeros(k), np.ones(k), np.random.default_rng(0).uniform(size=k)])
    base, opposite, inside = jacobians(probe)
    left, right = [], []
    for start in range(0, k, CHUNK):
        for change in jacobians(np.eye(k)[start : start + CHUNK]) - base:
            u, s, vt = np.linalg.svd(change)
            if len(s) > 1 and s[1] > _rounding(base) * s[0]:
                return None
            left.append(u[:, 0] * np.sqrt(s[0]))
            right.append(vt[0] * np.sqrt(s[0]))
    terms = RankOneTerms(base, np.stack(left), np.stack(right))
    for d, jacobian in zip(probe[1:], (opposite, inside), strict=True):
        predicted = base + (terms.left * d[:, None]).T @ terms.right
        if np.max(np.abs(predicted - jacobian)) > _rounding(base) * (1 + np.max(np.abs(jacobian))):
            return None
    return terms


def _rounding(like: np.ndarray) -> float:
    return float(np.finfo(like.dtype).eps) ** 0.75
