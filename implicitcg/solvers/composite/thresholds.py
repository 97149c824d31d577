"""The thresholds of this room: sizes of small problems, and when a search ends or is left to another."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """What was measured on two cores of a shared x86 server, 2026."""

    # semismooth Newton
    entering: int = 16  # violating coordinates let into the first working set; twice as many each time
    faces: tuple[int, ...] = (128, 512)  # static sizes of a face in the small problem, besides all of it
    halvings: int = 12  # of a Newton step on a face before it is dropped
    largest_shift: float = 1.0  # of the diagonal of the Hessian there, relative to it

    # the interior point method of margin problems
    inside: float = 0.995  # how much of the way to the boundary a step may go
    near: float = 0.01  # of the tolerance: where it is left to Newton's method
    stalled: int = 5  # steps without progress after which it ends
    lost: int = 3  # faces without progress after which the best is taken


THRESHOLDS = Thresholds()
