"""What is factorised on the host: shared by threads, and singular by structure.

A fault of this kind writes into memory that is not its own, and takes the process with it or not: what may is run in a
child, which ends by itself and says what it found. glibc fills fresh memory with a byte where MALLOC_PERTURB_ says so.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from jax.experimental.sparse import BCOO

import implicitcg as icg
from implicitcg.base import programs
from implicitcg.cone_programs import condensed_system, layout
from implicitcg.cone_programs.condensed_system import CondensedSystem
from implicitcg.cone_programs.faces import face
from implicitcg.cone_programs.iterative_system import IterativeSystem
from implicitcg.linear.sparse_factors import sparse_factors, structural_rank

cones = icg.cones
ROOT = Path(__file__).resolve().parent.parent


def child(program: str, *arguments: int, **environment: str) -> str:
    """What a program of its own prints, once it has ended as it should."""
    head = "import jax; jax.config.update('jax_enable_x64', True)\n"
    where = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": where} | environment
    command = [sys.executable, "-c", head + program, *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, f"exit code {ended.returncode}: {ended.stderr[-2000:]}"
    return ended.stdout.strip()


SHARED = """
import sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np, scipy.sparse, implicitcg as icg
from implicitcg.cone_programs import layout
from implicitcg.cone_programs.chosen_system import factorised
from implicitcg.cone_programs.faces import face

sys.setswitchinterval(1e-5)
n, equalities, repeated, repeats = map(int, sys.argv[1:])
random = np.random.default_rng(0)
where = layout(icg.cones.Product(icg.cones.Zero(equalities + repeated), icg.cones.Nonnegative(n)))
rows = scipy.sparse.random_array((equalities, n), density=8 / n, rng=random) + scipy.sparse.eye_array(equalities, n)
A = scipy.sparse.vstack([rows, rows.tocsr()[:repeated], -scipy.sparse.eye_array(n)]).tocsc()
P = scipy.sparse.diags_array(1 + random.random(n)).tocsc()
v = random.standard_normal(equalities + repeated + n) + 1  # a sixth of the bounds hold
system = factorised(P, A, face(where, np.zeros(0), v))
assert system.healthy
sides = random.standard_normal((16, n + len(v)))


def solved(side):
    return np.concatenate(system.solve(side[:n], side[n:]))


alone = [solved(side) for side in sides]


def wrong(k):
    return sum(not np.array_equal(solved(sides[k]), alone[k]) for _ in range(repeats))


with ThreadPoolExecutor(4) as threads:
    print(type(system).__name__, sum(threads.map(wrong, range(16))))
"""


@pytest.mark.parametrize(
    ("sizes", "repeats", "name"),
    [
        ((40, 15, 0), 1000, "CondensedSystem"),
        ((40, 15, 2), 200, "WithoutDependence"),
        ((600, 200, 0), 50, "SparseSystem"),
    ],
)
def test_threads_that_share_one_factor_have_the_answers_of_a_loop_bit_for_bit(sizes, repeats, name):
    assert child(SHARED, *sizes, repeats) == f"{name} 0"


def test_threads_inside_lapack_at_once_have_each_its_own_pivots(monkeypatch):
    lapack, inside, handed = condensed_system.lapack, threading.Barrier(2, timeout=60), []

    def dgetrs(lu, pivots, right):
        handed.append(pivots)
        inside.wait()
        return lapack.dgetrs(lu, pivots, right)

    random = np.random.default_rng(0)
    A = scipy.sparse.csc_array(random.standard_normal((2, 6)))
    P = scipy.sparse.csc_array(np.eye(6))
    system = CondensedSystem(P, A, face(layout(cones.Zero(2)), np.zeros(0), np.ones(2)))
    monkeypatch.setattr(condensed_system, "lapack", SimpleNamespace(dgetrs=dgetrs))
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda _: system.solve(np.ones(6), np.ones(2)), range(2)))
    pairs = itertools.combinations([*handed, system.pivots], 2)
    assert len(handed) == 4 and not any(np.shares_memory(*pair) for pair in pairs)


JACOBIANS = """
from concurrent.futures import ThreadPoolExecutor
import jax.numpy as jnp, numpy as np, implicitcg as icg

n = 24
random = np.random.default_rng(0)
A = np.concatenate([random.standard_normal((8, n)), -np.eye(n), np.eye(n)])
center = random.standard_normal((8, n))


@jax.jit
@jax.vmap
@jax.jacrev
def jacobian(c):
    cone = icg.cones.Product(icg.cones.Zero(8), icg.cones.Nonnegative(2 * n))
    b = jnp.concatenate([jnp.zeros(8), jnp.ones(2 * n)])
    return icg.solve(icg.conic(np.eye(n), -c, A, b, cone)).value


batches = [jnp.asarray(center + 0.1 * k) for k in range(8)]
alone = [np.asarray(jacobian(batch)) for batch in batches]
with ThreadPoolExecutor(4) as threads:
    together = list(threads.map(lambda batch: [np.asarray(jacobian(batch)) for _ in range(4)], batches))
print(sum(not np.array_equal(found, first) for first, several in zip(alone, together) for found in several))
"""


def test_jacobians_of_batches_of_cone_programs_taken_in_threads_are_those_of_a_loop_bit_for_bit():
    assert child(JACOBIANS) == "0"


def test_threads_that_ask_one_function_for_its_jacobians_have_each_those_of_its_own_point():
    elements = icg.nonsmooth.conservative_jacobians(lambda x, t: jax.nn.relu(x - t) * jnp.exp(x))
    points = [jnp.array([1.0, k, 0.5 * k]) for k in range(3)]
    alone = [np.asarray(elements(x, 1.0).vertices) for x in points]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as threads:
            together = list(threads.map(lambda k: np.asarray(elements(points[k % 3], 1.0).vertices), range(60)))
    finally:
        sys.setswitchinterval(interval)
    for k, found in enumerate(together):
        np.testing.assert_array_equal(found, alone[k % 3])


def test_threads_compile_more_programs_than_are_kept_and_each_has_its_own(monkeypatch):
    monkeypatch.setattr(programs, "KEPT", 1)

    def compiled(k):
        return float(programs.Shared(lambda x: x + k % 5)(jnp.zeros(())))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(compiled, range(60))) == [k % 5 for k in range(60)]
    finally:
        sys.setswitchinterval(interval)
    assert len(programs._executables) <= 1


def test_any_pattern_of_a_sparse_matrix_is_factorised_or_refused():
    program = """
import numpy as np, scipy.sparse
from implicitcg.linear.sparse_factors import sparse_factors

random, wrong, refused, made = np.random.default_rng(0), 0, 0, 0
for trial in range(3000):
    n = int(random.integers(1, 80))
    matrix = scipy.sparse.random_array((n, n), density=min(1, random.uniform(0.5, 4) / n), rng=random)
    kind = trial % 4
    if kind == 1:  # a cone program on a face: symmetric, with a block of zeros
        matrix = matrix + matrix.T + scipy.sparse.diags_array(np.where(np.arange(n) < n // 2, 1.0, 0.0))
    if kind == 2:
        matrix = matrix + scipy.sparse.eye_array(n)
    matrix = scipy.sparse.csc_array(matrix)
    if kind == 3 and matrix.nnz:
        matrix.data[random.integers(matrix.nnz, size=3)] = 0  # which are stored
    dense = matrix.toarray()
    values = np.linalg.svd(dense, compute_uv=False)
    order = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.1} if trial % 2 else {}
    factors = sparse_factors(matrix, **order)
    if factors is None:
        refused += 1
        wrong += values[-1] > 1e-8 * values[0]
    else:
        made += 1
        x = factors.solve(np.ones(n))
        wrong += not np.abs(dense @ x - 1).max() <= 1e-8 * (1 + np.abs(dense).sum(1).max() * np.abs(x).max())
print(wrong, refused > 500, made > 500)
"""
    assert child(program, MALLOC_PERTURB_="165") == "0 True True"


def test_the_rank_that_a_pattern_allows_is_that_of_numbers_at_random_in_it():
    random = np.random.default_rng(1)
    for _ in range(200):
        n = int(random.integers(1, 12))
        pattern = random.random((n, n)) < random.uniform(0.05, 0.5)
        drawn = scipy.sparse.csc_array(np.where(pattern, random.standard_normal((n, n)), 0))
        assert structural_rank(drawn) == np.linalg.matrix_rank(drawn.toarray())


@pytest.mark.parametrize(
    "entries",
    [
        [[1.0, 1.0], [1.0, 1.0]],
        [[0.0, 1.0], [0.0, 1.0]],
        [[np.nan, 0.0], [0.0, 1.0]],
        [[np.inf, 0.0], [0.0, 1.0]],
        [[1.0, 0.0], [0.0, 1e-310]],  # its inverse is not finite
    ],
)
def test_a_matrix_without_factors_has_none(entries):
    assert sparse_factors(scipy.sparse.csc_array(np.array(entries))) is None


def test_sparse_systems_on_any_face_are_judged_as_dense_ones_are_and_end():
    """Rows and columns without entries, rows twice and variables that nothing holds, in faces drawn at random."""
    program = """
import numpy as np, scipy.sparse, implicitcg as icg
from implicitcg.cone_programs import layout
from implicitcg.cone_programs.faces import face
from implicitcg.cone_programs.sparse_system import SparseSystem

random, wrong, healthy = np.random.default_rng(0), 0, 0
for trial in range(600):
    n, m = int(random.integers(1, 80)), int(random.integers(1, 50))
    A = scipy.sparse.random_array((m, n), density=min(1, random.uniform(0.5, 12) / n), rng=random).tolil()
    if trial % 3 == 0:
        A[: m // 4] = A[m - m // 4 :]
    held = random.random(n) < (0.9, 1, 0.5)[trial % 3]
    P = None if trial % 4 == 0 else scipy.sparse.diags_array(held * random.uniform(0.1, 1, n)).tocsc()
    v = random.standard_normal(m)
    system = SparseSystem(P, A.tocsc(), face(layout(icg.cones.Nonnegative(m)), np.zeros(0), v))
    dense, rows = np.zeros((n, n)) if P is None else P.toarray(), A.toarray()[v <= 0]
    K = np.block([[dense, rows.T], [rows, np.zeros((len(rows), len(rows)))]])
    values = np.linalg.svd(K, compute_uv=False)
    healthy += system.healthy
    wrong += system.healthy != bool(values[-1] > 1e-9 * values[0])
    dx, dy = system.solve(np.ones(n), np.ones(m))
    if system.healthy:
        wrong += not np.abs(rows @ dx - 1).max(initial=0) < 1e-6
print(wrong, healthy > 50)
"""
    assert child(program, MALLOC_PERTURB_="165") == "0 True"


def test_a_sparse_cone_program_with_variables_that_nothing_holds_ends_with_a_status_and_a_solution():
    program = """
import numpy as np, scipy.sparse, implicitcg as icg

n, random = 300, np.random.default_rng(0)
held = random.permutation(np.arange(n) >= 20).astype(float)
q = held * random.standard_normal(n)
A = scipy.sparse.eye_array(n) + scipy.sparse.eye_array(n, k=1)
P, A = scipy.sparse.diags_array(held).tocsc(), scipy.sparse.csc_array(A * held)
A.eliminate_zeros()
found = icg.solve(icg.conic(P, q, A, np.ones(n), icg.cones.Nonnegative(n)), throw=False)
assert found.status in (icg.Status.converged, icg.Status.not_unique)
x, y = np.asarray(found.value), np.asarray(found.dual)
print(max(np.abs(P @ x + q + A.T @ y).max(), (A @ x - 1).max(), -y.min(), np.abs(y * (A @ x - 1)).max()) < 1e-9)
"""
    assert child(program, MALLOC_PERTURB_="165") == "True"


def test_programs_of_nothing_have_a_system_by_products_too():
    nothing = scipy.sparse.csc_array((3, 2))
    system = IterativeSystem(None, nothing, face(layout(cones.Nonnegative(3)), np.zeros(0), np.ones(3)))
    dx, dy = system.solve(np.zeros(2), np.zeros(3))
    assert not dx.any() and not dy.any()


@pytest.mark.parametrize("jit", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_repeated_entries_of_a_matrix_add_up_and_the_arrays_given_stay_as_they_are(jit):
    rows, columns = jnp.array([2, 0, 0, 1, 0]), jnp.array([0, 0, 1, 1, 1])
    entries = -jnp.array([3.0, 1.0, 2.0, 5.0, 7.0])
    A = BCOO((entries, jnp.stack([rows, columns], 1)), shape=(3, 2))

    def value(A):
        return icg.solve(icg.conic(np.eye(2), jnp.ones(2), A, jnp.ones(3), cones.Nonnegative(3))).value

    of_sparse = jit(lambda entries: value(BCOO((entries, A.indices), shape=A.shape)))
    dense = value(A.todense())
    for _ in range(3):  # the second sees what the first left behind
        np.testing.assert_allclose(of_sparse(entries), dense, atol=1e-12)
    problem = icg.conic(np.eye(2), jnp.ones(2), A, jnp.ones(3), cones.Nonnegative(3))
    for _ in range(2):
        np.testing.assert_array_equal(problem.A.compressed().toarray(), A.todense())
