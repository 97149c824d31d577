"""Random programs against CVXPY with Clarabel and against differences: how far the answers are apart.

    python benchmarks/agreement.py

180 dense quadratic programs in three shapes and 120 cone programs with every cone, batched by shape. Printed for each
shape: how many were solved, the largest distance of solutions from Clarabel's at tolerance 1e-10 (of the quadratic
programs; the cone programs are made around a known solution), and the largest error of a directional derivative against
central differences, relative to one plus its size, over the programs that are at a distance of 1e-3 from every kink.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import sys
from typing import Any

import cvxpy as cp
import jax
import jax.numpy as jnp
import numpy as np

import implicitcg as icg

jax.config.update("jax_enable_x64", True)
cones = icg.cones
EVERY = (cones.Zero(1), cones.Nonnegative(3), cones.SecondOrder(3), cones.PSD(3), cones.Exponential())


def quadratic(n: int, e: int, m: int, count: int) -> dict[str, Any]:
    random = np.random.default_rng(n)
    L, x = random.standard_normal((count, n, n)), random.standard_normal((count, n))
    A, G = random.standard_normal((count, e, n)), random.standard_normal((count, m, n))
    slack = np.where(random.random((count, m)) < 0.5, 0.0, random.random((count, m)))
    return {
        "P": L @ L.transpose(0, 2, 1) / n + 0.1 * np.eye(n),
        "q": random.standard_normal((count, n)),
        "A": A,
        "b": np.einsum("kij,kj->ki", A, x),
        "G": G,
        "h": np.einsum("kij,kj->ki", G, x) + slack,
    }


def conic(n: int, count: int) -> tuple[dict[str, Any], np.ndarray]:
    """Programs made around a solution: `v` at random, `s = Pi(v)`, `y = s - v`, and data that fit."""
    random, cone = np.random.default_rng(n), cones.Product(*EVERY, cones.Power(0.3))
    A, x = random.standard_normal((count, cone.dimension, n)), random.standard_normal((count, n))
    v, root = random.standard_normal((count, cone.dimension)), random.standard_normal((count, n, n))
    P = root @ root.transpose(0, 2, 1) / n + 0.1 * np.eye(n)
    s = np.asarray(jax.vmap(cone.project)(v))
    b = np.einsum("kij,kj->ki", A, x) + s
    q = -np.einsum("kij,kj->ki", P, x) - np.einsum("kij,ki->kj", A, s - v)
    return {"P": P, "q": q, "A": A, "b": b}, x


def solve_quadratic(d: Any) -> Any:
    return icg.solve(icg.qp(d["P"], d["q"], d["A"], d["b"], d["G"], d["h"]), throw=False)


def solve_conic(d: Any) -> Any:
    cone = cones.Product(*EVERY, cones.Power(0.3))
    return icg.solve(icg.conic(d["P"], d["q"], d["A"], d["b"], cone), throw=False)


def clarabel(d: Any, k: int) -> np.ndarray:
    x = cp.Variable(d["q"].shape[1])
    objective = cp.quad_form(x, cp.psd_wrap(d["P"][k])) / 2 + d["q"][k] @ x
    rows = [d["A"][k] @ x == d["b"][k], d["G"][k] @ x <= d["h"][k]]
    tolerances = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-10)
    cp.Problem(cp.Minimize(objective), rows).solve(cp.CLARABEL, **tolerances)
    return x.value


def judge(solve: Any, d: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which are solved, the solutions, and the errors of the directional derivatives (NaN near a kink)."""
    random = np.random.default_rng(9)
    d = {name: jnp.asarray(value) for name, value in d.items()}
    t = {name: jnp.asarray(random.standard_normal(value.shape)) for name, value in d.items()}
    t["P"] = t["P"] + jnp.swapaxes(t["P"], 1, 2)

    @jax.jit
    @jax.vmap
    def everything(d: Any, t: Any) -> Any:
        def value(d: Any) -> Any:
            found = solve(d)
            return found.value, (found.converged, jnp.min(jnp.abs(found.root.v)))

        return jax.jvp(value, (d,), (t,), has_aux=True)

    x, slope, (solved, margin) = everything(d, t)
    h = 1e-6
    ends = [everything(jax.tree.map(lambda a, b, s=s: a + s * h * b, d, t), t) for s in (1, -1)]
    difference = (ends[0][0] - ends[1][0]) / (2 * h)
    error = jnp.max(jnp.abs(slope - difference), axis=1) / (1 + jnp.max(jnp.abs(slope), axis=1))
    return np.asarray(solved), np.asarray(x), np.asarray(jnp.where(margin > 1e-3, error, jnp.nan))


def main() -> int:
    print("| programs | count | solved | distance of solutions | judged | error of derivatives: median | largest |")
    print("|---|---|---|---|---|---|---|")
    rows: list[tuple[str, Any, Any, Any]] = []
    for n, e, m in ((4, 1, 5), (8, 3, 10), (15, 0, 30)):
        d = quadratic(n, e, m, 60)
        want = np.stack([clarabel(d, k) for k in range(60)])
        rows.append((f"quadratic, n = {n}, {e} equalities, {m} inequalities", solve_quadratic, d, want))
    d, want = conic(15, 120)
    rows.append(("every cone, n = 15", solve_conic, d, want))
    for name, solve, d, want in rows:
        solved, x, error = judge(solve, d)
        distance = np.abs(x - want)[solved].max()
        judged = error[solved & np.isfinite(error)]
        told = f"{distance:.1e} | {len(judged)} | {np.median(judged):.1e} | {judged.max():.1e}"
        print(f"| {name} | {len(x)} | {solved.sum()} | {told} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
