"""Quadratic programs that are degenerate on purpose: the exact pieces, what is returned, and the verdict.

All have two variables of interest; two more are held at zero by equalities, or free, so that one compiled batch solves
them all. The exact pieces are enumerated: every set of independent active constraints with nonnegative multipliers is
the active set of some neighbouring program, and gives one piece of the solution map in `(q, h)`.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import implicitcg as icg

n, e, m = 4, 2, 5
ROWS: dict[str, tuple] = {}


def row(name, P, q, G, h, status, verdict, pieces, A=None, b=(0.0, 0.0), smooth=False):
    """A program; how it ends, the verdict, how many pieces it has, and whether it is smooth in `q`."""
    data = {"P": np.eye(n), "q": np.zeros(n), "A": np.eye(e, n, 2), "b": np.asarray(b, float)}
    data |= {"G": np.zeros((m, n)), "h": np.ones(m)}  # rows of zeros below one hold everywhere
    data["P"][:2, :2], data["q"][:2] = P, q
    data["G"][: len(G), :2], data["h"][: len(h)] = np.reshape(G, (-1, 2)), h
    if A is not None:
        data["A"] = np.asarray(A, float)
    ROWS[name] = data, status, verdict, pieces, smooth


I2, flat, zero = np.eye(2), np.diag([1.0, 0.0]), np.zeros((2, 2))
BOX = np.vstack([I2, -I2])
row("a weakly active bound", I2, [0, -1], -I2, [0, 0], "converged", "certified", 2)
row("two weakly active bounds", I2, [0, 0], -I2, [0, 0], "converged", "certified", 4)
row("one bound weakly, one strongly active", I2, [-1, -2], I2, [1, 1], "converged", "certified", 2)
row("a constraint twice", I2, [-2, -1], [[1, 0], [1, 0]], [1, 1], "converged", "singular", 2, smooth=True)
row("a constraint and its double", I2, [-2, -1], [[1, 0], [2, 0]], [1, 2], "converged", "singular", 2, smooth=True)
row("a constraint twice, weakly active", I2, [-1, 0], [[1, 0], [1, 0]], [1, 1], "converged", "singular", 3)
OVER = [[1, 0], [0, 1], [1, 1]]
row("an overdetermined vertex", I2, [-3, -3], OVER, [1, 1, 2], "converged", "singular", 4, smooth=True)
row("an overdetermined vertex, weakly active", I2, [-1, -1], OVER, [1, 1, 2], "converged", "singular", 7)
row("a vertex of a linear program", zero, [-1, -2], BOX, [1, 1, 0, 0], "converged", "certified", 1, smooth=True)
row("a degenerate vertex of a linear program", zero, [-2, -1], OVER, [1, 1, 2], "converged", "singular", 2, smooth=True)
row("a linear program about to jump", zero, [-1, 0], BOX, [1, 1, 0, 0], "not_unique", "unknown", 0)
row("a flat direction", flat, [0, 0], [], [], "not_unique", "unknown", 0)
row("a flat direction held by a constraint", flat, [0, -1], [[0, 1]], [1], "converged", "certified", 1, smooth=True)
row("an equality as two inequalities", I2, [-3, 0], [[1, 0], [-1, 0]], [1, -1], "converged", "singular", 1, smooth=True)
row("a feasible set of one point", I2, [1, 2], BOX, [0, 0, 0, 0], "converged", "singular", 1, smooth=True)
row("a row of zeros met with equality", I2, [-2, -1], [[0, 0], [1, 0]], [0, 1], "converged", "singular", 1, smooth=True)
row("contradicting inequalities", I2, [0, 0], [[1, 0], [-1, 0]], [-1, -1], "infeasible", "unknown", 0)
row("an objective that falls for ever", zero, [-1, 0], [[0, 1]], [1], "unbounded", "unknown", 0)
ONE, TWICE = [[1, 1, 0, 0], [0, 0, 1, 0]], [[1, 1, 0, 0], [1, 1, 0, 0]]
row("an equality twice", I2, [-3, 0], [], [], "converged", "singular", 1, smooth=True, A=TWICE, b=(1, 1))
row("equalities that contradict", I2, [-3, 0], [], [], "infeasible", "unknown", 0, A=TWICE, b=(1, 2))
row("an equality and a bound on top", I2, [-3, 0], [[1, 1], [1, 0]], [1, 0.5], "converged", "singular", 1, A=ONE,
    b=(1, 0), smooth=True)  # fmt: skip


@jax.jit
@jax.vmap
def everything(d):
    def solution(q, h):
        found = icg.solve(icg.qp(d["P"], q, d["A"], d["b"], d["G"], h), throw=False)
        return found.value, found

    return jax.jacrev(solution, (0, 1), has_aux=True)(d["q"], d["h"])


@pytest.fixture(scope="module")
def found():
    batch = [data for data, *_ in ROWS.values()]
    step = 1e-6 * np.r_[np.cos([1.0, 2.0]), 0, 0]
    moved = [[d | {"q": d["q"] + s * step} for d in batch] for s in (1, -1)]
    stacked = jax.tree.map(lambda *rows: jnp.stack(rows), *batch, *moved[0], *moved[1])
    slopes, solutions = everything(stacked)
    split = [jax.tree.map(lambda leaf, k=k: leaf[k], (slopes, solutions)) for k in range(3 * len(batch))]
    k = len(batch)
    return dict(zip(ROWS, zip(split[:k], split[k : 2 * k], split[2 * k :], strict=True), strict=True)), step


def exact_pieces(d, x):
    """`(dx/dq, dx/dh)` for every admissible set of active constraints, without repetitions."""
    active = np.flatnonzero(np.abs(d["G"] @ x - d["h"]) < 1e-9)
    equal: list[int] = []  # those that follow from the ones before follow from them for every q and h
    for i in range(len(d["A"])):
        if np.linalg.matrix_rank(d["A"][[*equal, i]], tol=1e-9) > len(equal):
            equal.append(i)
    A, b, e = d["A"][equal], d["b"][equal], len(equal)
    pieces = []
    for size in range(len(active) + 1):
        for chosen in itertools.combinations(active, size):
            C = np.vstack([A, d["G"][list(chosen)]])
            K = np.block([[d["P"], C.T], [C, np.zeros((len(C), len(C)))]])
            if np.linalg.matrix_rank(K, tol=1e-9) < len(K):
                continue
            inverse = np.linalg.inv(K)
            point = inverse @ np.concatenate([-d["q"], b, d["h"][list(chosen)]])
            if np.abs(point[:n] - x).max() > 1e-9 or np.any(point[n + e :] < -1e-9):
                continue
            in_h = np.zeros((n, m))
            in_h[:, list(chosen)] = inverse[:n, n + e :]
            piece = np.hstack([-inverse[:n, :n], in_h])
            if all(np.abs(piece - other).max() > 1e-9 for other in pieces):
                pieces.append(piece)
    return pieces


@pytest.mark.parametrize("name", ROWS)
def test_a_degenerate_program_returns_an_exact_piece_or_is_refused_by_name(name, found):
    data, status, verdict, count, smooth = ROWS[name]
    (slopes, solution), ahead, behind = found[0][name]
    assert solution.status == getattr(icg.Status, status), icg.Status[solution.status]
    problem = icg.qp(*(jnp.asarray(data[key]) for key in "PqAbGh"))
    assert icg.certify(problem, solution).verdict == verdict
    slope = np.hstack(slopes)
    if not count:  # no derivative: NaN, and an error where `throw` is left on
        assert np.isnan(slope).any()
        return
    pieces = exact_pieces(data, np.asarray(solution.value))
    assert len(pieces) == count
    assert min(np.abs(slope - piece).max() for piece in pieces) < 1e-9
    if smooth:  # whatever piece it is, in the objective they are one
        # the map is piecewise affine: what is left is rounding over the step
        difference = np.asarray(ahead[1].value - behind[1].value)
        np.testing.assert_allclose(slope[:, :n] @ (2 * found[1]), difference, atol=1e-11)
