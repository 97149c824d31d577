"""What of the searches was chosen by measuring: on two cores of a shared x86 server, in 2026.

None of these numbers decides what is right, only how much work it takes; the tests and `benchmarks/tuning.py` show it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """Sizes at which one way becomes quicker than another, and how long a search keeps looking."""

    coarse: int = 49  # points of the first path by solves: twelve a decade
    pessimism: float = 1.5  # how much steeper than at its ends the criterion may be inside a cell
    stretch: int = 32  # knots of an exact path between two looks at all features
    spare: int = 100  # features looked at between, beyond twice the number of samples
    worse: float = 1.15  # times the lowest value on its path, and rising: where a walk at a ridge has seen enough
    hopeless: float = 1.05  # times the lowest of all: a ridge beyond it ends the coarse search, if the profile rises


THRESHOLDS = Thresholds()
