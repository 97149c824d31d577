"""From columns to the design matrix: centred, scaled to unit variance, with polynomial terms when asked for."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .mistakes import Mistake, counted, listed

MOST_TERMS = 20_000
MOST_ENTRIES = 100_000_000  # of the design matrix: 0.8 GB
REPEATED = 1e-9  # 1 - |correlation| under which two columns are one, well above rounding (1e-15 n)


@dataclass(frozen=True)
class Scaling:
    """`x -> (x - mean) / scale`, by column; a constant column has scale 1 and becomes zero."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    def apply(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """The scaled columns."""
        return (X - self.mean) / self.scale


@dataclass(frozen=True)
class Recipe:
    """How the design matrix is made of the columns `inputs`, also for new rows.

    The inputs are standardised; term `t` is the product of the inputs `factors[t]` (indices, repeated for powers); the
    terms are standardised again. Of degree 1 the terms are the inputs and the second scaling does nothing.
    """

    inputs: tuple[str, ...]
    first: Scaling
    factors: tuple[tuple[int, ...], ...]
    second: Scaling

    @property
    def terms(self) -> tuple[str, ...]:
        """The names of the terms: `bmi`, `bmi*bp`, `bmi^2`."""
        return tuple(term_name(self.inputs, factors) for factors in self.factors)

    def apply(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """The design matrix of the rows `X`, whose columns are `inputs`."""
        return self.second.apply(products(self.first.apply(X), self.factors))

    def to_json(self) -> dict[str, Any]:
        """Plain lists and names, for the model file."""
        return {
            "inputs": list(self.inputs),
            "mean": self.first.mean.tolist(),
            "scale": self.first.scale.tolist(),
            "terms": list(self.terms),
            "factors": [list(factors) for factors in self.factors],
            "term_mean": self.second.mean.tolist(),
            "term_scale": self.second.scale.tolist(),
        }

    @staticmethod
    def from_json(stored: dict[str, Any]) -> Recipe:
        """The recipe that `to_json` wrote."""
        return Recipe(
            tuple(map(str, stored["inputs"])),
            Scaling(np.asarray(stored["mean"], float), np.asarray(stored["scale"], float)),
            tuple(tuple(map(int, factors)) for factors in stored["factors"]),
            Scaling(np.asarray(stored["term_mean"], float), np.asarray(stored["term_scale"], float)),
        )


def learn_recipe(X: NDArray[np.float64], names: tuple[str, ...], degree: int = 1) -> tuple[Recipe, list[str]]:
    """The recipe for the columns of `X`, and notes for the user about constant and repeated columns."""
    n, p = X.shape
    first = standardise(X)
    notes = constant_columns(X, names) + repeated_columns(first.apply(X), names)
    if degree == 1:
        nothing = Scaling(np.zeros(p), np.ones(p))
        return Recipe(names, first, tuple((j,) for j in range(p)), nothing), notes
    factors = monomials(n, p, degree)
    T = products(first.apply(X), factors)
    second = standardise(T)
    keep = distinct(second.apply(T), p)
    left_out = [term_name(names, factors[j]) for j in range(len(factors)) if not keep[j]]
    if left_out:
        notes.append(
            f"{counted(len(left_out), 'product')} left out because constant or equal to another up to a linear map "
            f"(the square of a column of two values is one): {listed(left_out)}."
        )
    kept = tuple(term for term, wanted in zip(factors, keep, strict=True) if wanted)
    return Recipe(names, first, kept, Scaling(second.mean[keep], second.scale[keep])), notes


def standardise(X: NDArray[np.float64]) -> Scaling:
    """The means and standard deviations (divided by `n`) of the columns; scale 1 for a constant column."""
    mean, scale = X.mean(axis=0), X.std(axis=0)
    constant = scale <= 16 * np.finfo(float).eps * np.abs(X).max(axis=0)
    # the mean of a constant column is off by rounding; its first entry is not, and the column becomes exactly zero
    return Scaling(np.where(constant, X[0], mean), np.where(constant, 1.0, scale))


def monomials(n: int, p: int, degree: int) -> tuple[tuple[int, ...], ...]:
    """All products of up to `degree` of `p` inputs, by degree; refused when the matrix would not fit in memory."""
    count = math.comb(p + degree, degree) - 1
    if count > MOST_TERMS or n * count > MOST_ENTRIES:
        raise Mistake(
            f"--polynomial {degree} makes {count} terms of {p} features; {min(MOST_TERMS, MOST_ENTRIES // n)} are "
            f"allowed for {n} rows. Use a lower degree, or leave columns out with --drop."
        )
    return tuple(
        factors for d in range(1, degree + 1) for factors in itertools.combinations_with_replacement(range(p), d)
    )


def products(Z: NDArray[np.float64], factors: tuple[tuple[int, ...], ...]) -> NDArray[np.float64]:
    """Column `t` is the product of the columns `factors[t]` of `Z`."""
    T = np.empty((Z.shape[0], len(factors)))
    for t, indices in enumerate(factors):
        T[:, t] = np.prod(Z[:, indices], axis=1)
    return T


def distinct(T: NDArray[np.float64], p: int) -> NDArray[np.bool_]:
    """Which standardised terms to keep: the `p` inputs, and every product that varies and repeats no earlier term."""
    keep = np.ones(T.shape[1], bool)
    for later in twins(T):
        keep[later] = False
    keep &= T.any(axis=0)
    keep[:p] = True
    return keep


def twins(T: NDArray[np.float64]) -> dict[int, int]:
    """`{later: earlier}` for standardised columns that are equal up to sign.

    Such columns have (up to sign) the same projection on any vector, so only neighbours by one projection are compared.
    """
    n = T.shape[0]
    projection = np.abs(np.sin(np.arange(1, n + 1) ** 2) @ T) / n
    order = np.argsort(projection, kind="stable")
    order = order[np.any(T != 0, axis=0)[order]]
    near = np.sqrt(2 * REPEATED)  # columns with a correlation beyond 1 - REPEATED project no further apart
    found: dict[int, int] = {}
    for place, j in enumerate(order):
        for k in order[place + 1 :]:
            if projection[k] - projection[j] > near:
                break
            if abs(T[:, j] @ T[:, k]) > (1 - REPEATED) * n:
                earlier, later = sorted((int(j), int(k)))
                found[later] = min(earlier, found.get(later, earlier))
    return found


def constant_columns(X: NDArray[np.float64], names: tuple[str, ...]) -> list[str]:
    """A note about columns that do not vary."""
    constant = [
        name
        for name, varies in zip(names, np.any(standardise(X).apply(X) != 0, axis=0).tolist(), strict=True)
        if not varies
    ]
    if not constant:
        return []
    what = f"Column {constant[0]!r} never varies" if len(constant) == 1 else f"Columns {listed(constant)} never vary"
    return [f"{what}: coefficient 0."]


def repeated_columns(Z: NDArray[np.float64], names: tuple[str, ...]) -> list[str]:
    """A note about standardised columns that are equal up to sign: no derivative can tell them apart."""
    pairs = [f"{names[later]!r} repeats {names[earlier]!r}" for later, earlier in sorted(twins(Z).items())]
    if not pairs:
        return []
    more = f", and {len(pairs) - 4} more" if len(pairs) > 4 else ""
    note = (
        f"{', '.join(pairs[:4])}{more} up to a linear map. The solution is not unique and its certificate may be "
        "singular: leave one of each out with --drop."
    )
    return [note]


def term_name(inputs: tuple[str, ...], factors: tuple[int, ...]) -> str:
    """`bmi`, `bmi*bp` or `bmi^2*bp`."""
    powers = Counter(factors)
    return "*".join(inputs[j] if power == 1 else f"{inputs[j]}^{power}" for j, power in powers.items())
