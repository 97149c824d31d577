"""Quadratic programs in batches: exact to rounding, differentiated exactly, and every element judged by itself."""

import os
import subprocess
import sys

import cvxpy as cp
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import implicitcg as icg

n, e, m, count = 6, 2, 8, 60


def batch(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    L = rng.standard_normal((count, n, n))
    x = rng.standard_normal((count, n))
    A, G = rng.standard_normal((count, e, n)), rng.standard_normal((count, m, n))
    slack = np.where(rng.random((count, m)) < 0.5, 0.0, rng.random((count, m)))  # feasible, often at a vertex
    data = {
        "P": L @ L.transpose(0, 2, 1) / n + 0.1 * np.eye(n),
        "q": rng.standard_normal((count, n)),
        "A": A,
        "b": np.einsum("kij,kj->ki", A, x),
        "G": G,
        "h": np.einsum("kij,kj->ki", G, x) + slack,
    }
    return jax.tree.map(jnp.asarray, data)


def problem(d: dict):
    return icg.qp(d["P"], d["q"], d["A"], d["b"], d["G"], d["h"])


@jax.jit
@jax.vmap
def solved(d: dict):
    solution = icg.solve(problem(d), throw=False)
    told = [solution.status == getattr(icg.Status, name) for name in ("converged", "infeasible", "unbounded")]
    return solution.value, solution.dual, told, solution.residual


@jax.jit
@jax.vmap
def along(d: dict, tangent: dict):
    return jax.jvp(lambda d: icg.solve(problem(d), throw=False).value, (d,), (tangent,))[1]


@pytest.fixture(scope="module")
def data():
    return batch(0)


def test_every_element_meets_its_optimality_conditions_to_rounding(data):
    x, (_, z), (converged, _, _), residual = solved(data)
    assert bool(jnp.all(converged))
    # data of size one to ten in dimension 16: a thousand roundings
    assert float(residual.max()) < 1e-12 and float(z.min()) >= 0
    slack = data["h"] - jnp.einsum("kij,kj->ki", data["G"], x)
    assert float(slack.min()) > -1e-11 and float(jnp.abs(slack * z).max()) < 1e-10


def test_solutions_and_duals_agree_with_cvxpy(data):
    x, (_, z), _, _ = solved(data)
    slack = data["h"] - jnp.einsum("kij,kj->ki", data["G"], x)
    unique = np.asarray(e + jnp.sum(slack < 1e-6, axis=1) <= n)  # multipliers of more constraints than unknowns are not
    for k in range(0, count, 6):
        d = jax.tree.map(lambda leaf, k=k: np.asarray(leaf[k]), data)
        u = cp.Variable(n)
        rows = [d["A"] @ u == d["b"], d["G"] @ u <= d["h"]]
        objective = cp.Minimize(cp.quad_form(u, cp.psd_wrap(d["P"])) / 2 + d["q"] @ u)
        cp.Problem(objective, rows).solve(solver=cp.CLARABEL, tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12)
        # Clarabel's own accuracy, on problems of condition up to a thousand
        np.testing.assert_allclose(x[k], u.value, atol=1e-7)
        if unique[k]:
            np.testing.assert_allclose(z[k], rows[1].dual_value, atol=1e-5 * (1 + np.abs(z[k]).max()))
    assert unique[::6].sum() >= 5


def test_derivatives_equal_the_formula_on_the_active_set_and_differences(data):
    x, (y, z), _, _ = solved(data)
    rng = np.random.default_rng(1)
    tangent = jax.tree.map(lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape)), data)
    tangent["P"] = tangent["P"] + jnp.swapaxes(tangent["P"], 1, 2)
    found = along(data, tangent)
    slack = data["h"] - jnp.einsum("kij,kj->ki", data["G"], x)
    clear = np.asarray(jnp.min(jnp.maximum(slack, z), axis=1) > 1e-3)  # no weakly active constraint
    assert clear.sum() > count / 2
    exact, t = np.zeros((count, n)), tangent
    for k in np.flatnonzero(clear):
        active = np.asarray(z[k]) > np.asarray(slack[k])
        C = np.vstack([data["A"][k], data["G"][k][active]])
        dC = np.vstack([t["A"][k], t["G"][k][active]])
        multipliers = np.concatenate([y[k], z[k][active]])
        K = np.block([[np.asarray(data["P"][k]), C.T], [C, np.zeros((len(C), len(C)))]])
        top = t["P"][k] @ x[k] + t["q"][k] + dC.T @ multipliers
        bottom = dC @ x[k] - np.concatenate([t["b"][k], t["h"][k][active]])
        exact[k] = np.linalg.solve(K, -np.concatenate([top, bottom]))[:n]
    scale = 1 + np.abs(exact).max(1, keepdims=True)
    assert np.abs((found - exact) / scale)[clear].max() < 1e-9
    moved = [solved(jax.tree.map(lambda a, v, s=s: a + s * 1e-6 * v, data, tangent))[0] for s in (1, -1)]
    differences = np.asarray(moved[0] - moved[1]) / 2e-6
    same = clear & (np.asarray(jnp.min(jnp.maximum(slack, z), axis=1)) > 1e-2)
    # central differences of step 1e-6: rounding 1e-9, curvature of ill-conditioned elements below 1e-5
    assert np.median(np.abs((found - differences) / scale)[same].max(1)) < 1e-7
    assert np.abs((found - differences) / scale)[same].max() < 1e-4


def test_bad_elements_of_a_batch_are_told_and_spoil_no_other(data):
    reference = solved(data)[0]
    bad = dict(data)
    bad["h"] = bad["h"].at[1].set(bad["h"][1].at[1].set(-50.0))
    bad["G"] = bad["G"].at[1, 1].set(-bad["G"][1, 0])  # G_0 x <= h_0 and G_0 x >= 50
    bad["h"] = bad["h"].at[1, 0].set(1.0)
    bad["P"] = bad["P"].at[2].set(0.0)
    bad["G"] = bad["G"].at[2].set(0.0)
    bad["h"] = bad["h"].at[2].set(1.0)  # a linear objective on an affine space
    bad["q"] = bad["q"].at[3, 0].set(jnp.nan)
    x, (y, z), (converged, infeasible, unbounded), _ = solved(bad)
    assert bool(infeasible[1]) and bool(unbounded[2]) and not bool(converged[3])
    # the dual of an infeasible one proves it, the value of an unbounded one is the direction; both have length one
    force = bad["A"][1].T @ y[1] + bad["G"][1].T @ z[1]
    assert float(jnp.abs(force).max()) < 1e-7 and float(bad["b"][1] @ y[1] + bad["h"][1] @ z[1]) < -1e-2
    np.testing.assert_allclose([y[1] @ y[1] + z[1] @ z[1], x[2] @ x[2]], 1, rtol=1e-12)
    assert float(bad["q"][2] @ x[2]) < 0
    others = np.setdiff1d(np.arange(count), [1, 2, 3])
    assert bool(jnp.all(converged[others]))
    # the others take the same path; loops run longer, but their lanes stand still
    np.testing.assert_allclose(x[others], reference[others], atol=1e-11)


def test_a_weakly_active_constraint_is_certified_and_both_pieces_are_shown():
    def value(q):
        return icg.solve(icg.qp(jnp.eye(2), q, G=-jnp.eye(2), h=jnp.zeros(2))).value

    q = jnp.array([0.0, -1.0])
    found = icg.conservative_jacobian(value, q)
    np.testing.assert_allclose(sorted(np.asarray(found.vertices)[:, 0, 0]), [-1.0, 0.0], atol=1e-12)
    weak = icg.qp(jnp.eye(2), q, G=-jnp.eye(2), h=jnp.zeros(2))
    assert icg.certify(weak, icg.solve(weak)).verdict == "certified"


def test_a_flat_direction_and_a_jumping_linear_program_are_refused_by_name():
    flat = icg.qp(jnp.diag(jnp.array([1.0, 0.0])), jnp.zeros(2))
    assert bool(icg.solve(flat, throw=False).status == icg.Status.not_unique)
    edge = icg.qp(jnp.zeros((2, 2)), jnp.array([1.0, 0.0]), G=-jnp.eye(2), h=jnp.zeros(2))  # the edge x_0 = 0
    assert bool(icg.solve(edge, throw=False).status == icg.Status.not_unique)
    with pytest.raises(icg.SolveError, match="not unique"):
        icg.solve(edge)
    corner = jnp.concatenate([jnp.ones((1, 2)), -jnp.eye(2)])  # its solutions are a bounded edge, where steps overflow
    triangle = icg.qp(jnp.zeros((2, 2)), -jnp.ones(2), G=corner, h=jnp.array([1.0, 0.0, 0.0]))
    found = icg.solve(triangle, icg.solvers.InteriorPoint(), throw=False)
    assert bool(found.status == icg.Status.not_unique)
    assert abs(float(jnp.sum(found.value)) - 1) < 1e-8  # on the edge, to the tolerance of an interior point


ON_ONE_CORE = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import jax, jax.numpy as jnp, implicitcg as icg
jax.config.update("jax_enable_x64", True)
def first(q): return icg.solve(icg.qp(2 * jnp.eye(3), q, jnp.ones((1, 3)), jnp.ones(1))).value[0]
print((6 * jax.jit(jax.grad(first))(jnp.arange(3.0))).round(6).tolist())
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system cannot pin a process to a core")
def test_the_reverse_derivative_without_inequalities_compiles_on_one_core():
    # compiled anew: XLA behaves differently there only while it compiles
    environment = os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false", "JAX_PLATFORMS": "cpu"}
    run = subprocess.run([sys.executable, "-c", ON_ONE_CORE], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[-2.0, 1.0, 1.0]"
