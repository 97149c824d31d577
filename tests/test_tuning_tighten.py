"""Inexact inner solves: the end, the work of the stages, the error that is told."""

import re

import jax.numpy as jnp
import numpy as np
import pytest

import implicitcg as icg
from implicitcg.tuning import tighten

ASKED = []


def criterion(theta, tolerance):
    ASKED.append(tolerance)
    solver = icg.solvers.FixedPointIteration(tolerance=tolerance)
    z = icg.solve(icg.fixed_point(lambda z, t: 0.9 * jnp.cos(z) + t, theta), solver).value
    return jnp.square(z - 1) + 1


def test_the_tolerance_falls_and_the_error_told_is_that_of_the_last_stage():
    found = tighten(criterion, jnp.asarray(0.2), (1e-2, 1e-5))
    assert list(dict.fromkeys(ASKED)) == pytest.approx([1e-2, 1e-5, 1e-7])
    assert float(found.theta) == pytest.approx(1 - 0.9 * np.cos(1), abs=1e-3) and found.converged
    told = next(note for note in found.notes if "times tighter" in note)
    error = float(re.search(r"changes by (\S+)", told)[1])
    # the minimum is 1, and a hypergradient of 1e-5 is left: the value is known to the error told and its square
    assert abs(found.value - 1) <= 10 * error + 1e-8
    stages = [step.note.split(":")[0] for step in found.history]
    assert stages[0] == "tolerance 0.01" and stages[-1] == "tolerance 1e-05"
    assert [step.solves for step in found.history] == sorted(step.solves for step in found.history)


def test_tolerances_must_fall():
    for bad in ((), (1e-3, 1e-2), (1e-3, 0.0)):
        with pytest.raises(ValueError, match="each below the one before"):
            tighten(criterion, jnp.asarray(0.2), bad)
