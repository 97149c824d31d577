"""Sizes that decide how a cone program is worked on, which were measured, and are no part of what is computed.

Roundings (how close to a kink is on it, which singular value is zero) stand with the formulas that they judge.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """Measured on two cores of a shared x86 server with one BLAS thread, November 2026."""

    # matrices and systems
    multiplied_dense: int = 100_000  # entries up to which a matrix is multiplied dense: SciPy takes 10 us a product
    factorised_dense: int = 200  # unknowns up to which dense factors beat the bookkeeping of sparse ones
    full: float = 0.05  # the share of entries from which a system counts as full, and is factorised dense
    full_unknowns: int = 4000  # unknowns of a full system at the most: its factors take 128 MiB
    minimum_degree: int = 20  # entries a row up to which SuperLU orders by minimum degree, which is slow on fuller ones
    kept_bytes: int = 256 * 2**20  # of systems that were made a moment ago
    # semidefinite cones
    products_order: int = 48  # a face of this order has a thousand rows: above, systems are solved by products alone
    products_steps: int = 500  # of MINRES
    preconditioner_full: float = 0.1  # the share of entries from which the preconditioner is factorised dense
    # Newton's method
    chords: int = 4  # steps by the same factors
    # dependence
    dependence_entries: int = 4_000_000  # of the rows that bind, beyond which they are not looked at


THRESHOLDS = Thresholds()
