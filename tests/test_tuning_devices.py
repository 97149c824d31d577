"""Folds, starts and data sets on eight virtual devices, and folds on two processes: the same search as on one."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import spread_search

import implicitcg as icg

PROGRAM = str(Path(__file__).with_name("spread_search.py"))


def read(output):
    value, solves, *theta = output.split()
    return float.fromhex(value), int(solves), [float.fromhex(t) for t in theta]


def start(*arguments, devices):
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, PROGRAM, *arguments], env=environment, **pipes)


@pytest.fixture(scope="module")
def alone():
    found = icg.tune(spread_search.FOLDS, spread_search.START, starts=3, **spread_search.OPTIONS)
    return found.value, found.solves, np.asarray(found.theta)


def same(process, alone):
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-3000:]
    value, solves, theta = read(output.splitlines()[-1])
    # a batch of folds adds in another order than one fold; the search makes that no larger within its 24 solves
    assert value == pytest.approx(alone[0], rel=1e-9) and solves == alone[1]
    np.testing.assert_allclose(theta, alone[2], atol=1e-7)
    return output.splitlines()[-1]


def test_eight_devices_find_what_one_finds(alone):
    same(start("eight", devices=8), alone)


def test_two_processes_find_what_one_finds_and_agree_to_the_bit(alone):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    both = [start("joined", address, str(rank), devices=1) for rank in range(2)]
    first, second = (same(process, alone) for process in both)
    assert first == second


def test_a_mesh_that_is_none_or_has_two_axes_is_refused():
    with pytest.raises(TypeError, match="must be a jax"):
        icg.tune(spread_search.FOLDS, spread_search.START, mesh=8)
    with pytest.raises(ValueError, match="must have one axis"):
        icg.tuning.Spread(spread_search.loss, {"X": np.ones((1, 2))}, jax.make_mesh((1, 1), ("a", "b")))
    with pytest.raises(ValueError, match="one leading axis of the same length"):
        icg.tuning.Spread(spread_search.loss, {"X": np.ones((2, 2)), "y": np.ones(3)})
