"""The thresholds of this room: the sizes of working sets and faces, and how much of a certificate is enumerated."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """What was measured on two cores of a shared x86 server, 2026."""

    # working sets and faces
    whole: int = 512  # up to this many coordinates all of them are the working set: one Gram matrix, made once
    largest: int = 4096  # coordinates of the largest matrix: a factor of this order takes seconds
    sparse: int = 1024  # the same where `X` is sparse and a support may outgrow any: products cost less than the factor

    # certificates
    smallest_face: int = 32  # faces up to this size share one program
    kinks: int = 10  # of a nonconvex penalty, up to which all vertices are compared: 1024 determinants
    unknowns: int = 200  # of a cone program, up to which the elements at the kinks are formed
    variables: int = 2000  # of a cone program, up to which the sufficient condition factorises densely


THRESHOLDS = Thresholds()
