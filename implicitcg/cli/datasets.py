"""Where the numbers come from: a CSV file, or a data set that scikit-learn carries with it (no download)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .mistakes import Mistake, closest, counted, listed
from .table import read_table

# What each holds, and the columns beyond its features. A class label is a number only when there are two classes.
BUNDLED = {
    "diabetes": "disease progression after a year, 442 patients, 10 features",
    "linnerud": "three targets, choose one with --target, 20 men, 3 exercises",
    "breast_cancer": "0/1 diagnosis (--target target) or any feature, 569 samples, 30 features",
    "iris": "three classes: --target names one of the 4 measurements",
    "wine": "three classes: --target names one of the 13 measurements",
}
DOWNLOADED = {"california_housing", "20newsgroups", "covtype", "kddcup99", "lfw_people", "olivetti_faces", "rcv1"}


@dataclass(frozen=True)
class Data:
    """Named features `X (n, p)` and one numeric response `y (n,)`; the further responses `also` are in `others`."""

    name: str
    features: tuple[str, ...]
    X: NDArray[np.float64]
    target: str
    y: NDArray[np.float64]
    also: tuple[str, ...] = ()
    others: NDArray[np.float64] | None = None

    @property
    def responses(self) -> NDArray[np.float64]:
        """`(n,)`, or `(n, t)` where there are several."""
        return self.y if self.others is None else np.column_stack([self.y, self.others])


def with_tasks(data: Data, also: Sequence[str]) -> Data:
    """The columns `also` moved from the features to the responses.

    Raises:
        Mistake: no such column, the target itself, or no feature left.
    """
    also = tuple(dict.fromkeys(also))
    for name in also:
        if name == data.target:
            raise Mistake(f"--also {name!r} is the target already.")
        if name not in data.features:
            raise Mistake(
                f"--also: {data.name} has no column {name!r}.{closest(name, data.features)} "
                f"It has: {listed(data.features, 20)}."
            )
    kept = [j for j, name in enumerate(data.features) if name not in also]
    if not kept:
        raise Mistake("Every column is a target: no feature is left to predict them from.")
    moved = [data.features.index(name) for name in also]
    features = tuple(data.features[j] for j in kept)
    return Data(data.name, features, data.X[:, kept], data.target, data.y, also, data.X[:, moved])


def from_csv(path: str, target: str | None, drop: Sequence[str] = ()) -> Data:
    """The response `target` and all other columns of a CSV file but those to `drop`."""
    table = read_table(path)
    if target is None:
        raise Mistake(f"Which column is to be predicted? Add --target COLUMN; there are: {listed(table.names, 20)}.")
    table.require([target], "asked for by --target")
    features = _features(table.source, table.names, target, drop)
    values = table.numbers([*features, target], target)
    return Data(table.source, features, values[:, :-1], target, values[:, -1])


def bundled(name: str, target: str | None, drop: Sequence[str] = (), also: Sequence[str] = ()) -> Data:
    """One of scikit-learn's small data sets, in its original units."""
    names, values, default = _load(name)
    if target is None and default is None:
        raise Mistake(f"{name} ({BUNDLED[name]}): add --target COLUMN. There are: {listed(names, 31)}.")
    target = default if target is None else target
    assert target is not None
    if target not in names:
        raise Mistake(
            f"The data set {name} has no column {target!r}.{closest(target, names)} It has: {listed(names, 30)}."
        )
    _refuse_classes(name, target)
    # the responses of linnerud do not predict each other, nor does a class label belong among the features
    beside = {"Weight", "Waist", "Pulse"} if name == "linnerud" else {"target"}
    known = [other for other in names if other == target or other not in beside or other in also]
    features = _features(f"The data set {name}", known, target, drop)
    columns = [names.index(feature) for feature in features]
    return Data(name, features, values[:, columns], target, values[:, names.index(target)])


def check_for_fit(data: Data, folds: int) -> None:
    """Raise a `Mistake` where no model can be fitted: too few rows, or nothing that varies."""
    n = len(data.y)
    if n < 3:
        raise Mistake(f"{data.name} has {counted(n, 'row')}; cross-validation needs at least 3.")
    if n < folds:
        raise Mistake(f"{data.name} has {n} rows, fewer than the {folds} folds asked for. Use --cv {n} or less.")
    if np.all(data.y == data.y[0]):
        raise Mistake(
            f"The target {data.target!r} is {data.y[0]:g} in every row: a constant leaves nothing to predict."
        )
    if np.ptp(data.X, axis=0).max() == 0:
        raise Mistake(f"Every feature of {data.name} is constant: nothing can explain {data.target!r}.")


def _features(source: str, names: Sequence[str], target: str, drop: Sequence[str]) -> tuple[str, ...]:
    for name in drop:
        if name not in names:
            raise Mistake(
                f"{source} has no column {name!r} to drop.{closest(name, names)} It has: {listed(names, 20)}."
            )
    if target in drop:
        raise Mistake(f"{target!r} is both the target and to be dropped.")
    features = tuple(name for name in names if name != target and name not in drop)
    if not features:
        raise Mistake(
            f"{source} has only the column {target!r}: no feature is left to predict it from. (If it should have more, "
            "check that commas, semicolons, tabs or bars separate the columns.)"
        )
    return features


def _load(name: str) -> tuple[list[str], NDArray[np.float64], str | None]:
    """All columns of a bundled data set, and the one to predict unless another is asked for."""
    if name in DOWNLOADED:
        raise Mistake(f"{name} must be downloaded, which this command never does. Save it as a CSV file and pass that.")
    if name not in BUNDLED:
        what = "".join(f"\n  {known:<14} {about}" for known, about in BUNDLED.items())
        raise Mistake(f"There is no data set {name!r}.{closest(name, BUNDLED)} Those that work offline:{what}")
    from sklearn import datasets

    bunch: Any = datasets.load_diabetes(scaled=False) if name == "diabetes" else getattr(datasets, f"load_{name}")()
    targets = list(bunch.target_names) if name == "linnerud" else ["target"]
    names = [str(feature) for feature in bunch.feature_names] + [str(target) for target in targets]
    values = np.column_stack([bunch.data, bunch.target]).astype(np.float64)
    return names, values, "target" if name == "diabetes" else None


def _refuse_classes(name: str, target: str) -> None:
    if target == "target" and name in {"iris", "wine"}:
        raise Mistake(
            f"The target of {name} is one of three classes, and their codes 0, 1, 2 are labels, not amounts: a LASSO "
            "on them means nothing. Predict one of the measurements instead, with --target."
        )
