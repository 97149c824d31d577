"""What a picture of a search asks of it: numbers under these names, as a `TuneResult` of `icg.tune` has them.

Pictures stand on a floor below the searches that they show, so that a result can draw itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np


class AbstractCurve(Protocol):
    """A criterion along one hyperparameter, at points sorted by `theta`; all of shape `(m,)`."""

    @property
    def theta(self) -> np.ndarray: ...
    @property
    def value(self) -> np.ndarray: ...
    @property
    def standard_error(self) -> np.ndarray: ...
    @property
    def slope(self) -> np.ndarray: ...


class AbstractStep(Protocol):
    """A point accepted on the way, and the solves spent until then."""

    @property
    def value(self) -> float: ...
    @property
    def solves(self) -> int: ...


class AbstractStatus(Protocol):
    """How the search ended."""

    @property
    def name(self) -> str: ...


class AbstractFound(Protocol):
    """The end of a search: the best point, its criterion, and in one dimension the curve, its kinks and slopes."""

    @property
    def theta(self) -> Any: ...
    @property
    def place(self) -> np.ndarray | None: ...
    @property
    def value(self) -> float: ...
    @property
    def status(self) -> AbstractStatus: ...
    @property
    def history(self) -> Sequence[AbstractStep]: ...
    @property
    def curve(self) -> AbstractCurve | None: ...
    @property
    def knots(self) -> np.ndarray | None: ...
    @property
    def one_sided_slopes(self) -> tuple[float, float] | None: ...
