"""Batched quadratic programs against the peers: forward and backward time, and the error of the gradient.

    python benchmarks/qp.py [--small] [--all] [NxBATCH ...]    # --all: also peers that take minutes there
    python benchmarks/qp.py --alone    # of icg alone: single precision, n = 1000, warm starts

Programs with `n` variables, `n` inequalities and `n / 5` equalities, float64. All methods run in one process,
alternating; CPU time, medians. Backward is the gradient of a linear function of the solutions in `q`, `b` and `h`; for
JAX methods it is the time of value and gradient less that of the value. The error of a gradient in `q` is relative,
against the formula on the active set, `dx/dq` from the KKT matrix of the constraints with positive multipliers.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # two BLAS threads stall each other on small machines

import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import implicitcg as icg

jax.config.update("jax_enable_x64", True)
Method = tuple[Callable[[], Any], Callable[[], Any], Callable[[], np.ndarray]]  # forward, both, gradient in q


def programs(n: int, batch: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(n + batch)
    L = random.standard_normal((batch, n, n))
    x = random.standard_normal((batch, n))
    A, G = random.standard_normal((batch, n // 5, n)), random.standard_normal((batch, n, n))
    return {
        "P": L @ L.transpose(0, 2, 1) / n + 0.1 * np.eye(n),
        "q": random.standard_normal((batch, n)),
        "A": A,
        "b": np.einsum("kij,kj->ki", A, x),
        "G": G,
        "h": np.einsum("kij,kj->ki", G, x) + random.random((batch, n)),
        "c": random.standard_normal((batch, n)),
    }


def in_jax(solve: Callable[..., Any], data: dict[str, np.ndarray]) -> Method:
    d = {name: jnp.asarray(value) for name, value in data.items()}

    def value(q: Any, b: Any, h: Any) -> Any:
        return jnp.sum(d["c"] * jax.vmap(solve)(d["P"], q, d["A"], b, d["G"], h))

    forward, both = jax.jit(value), jax.jit(jax.value_and_grad(value, argnums=(0, 1, 2)))
    arguments = d["q"], d["b"], d["h"]
    return (
        lambda: jax.block_until_ready(forward(*arguments)),
        lambda: jax.block_until_ready(both(*arguments)),
        lambda: np.asarray(both(*arguments)[1][0]),
    )


def in_torch(function: Any, data: dict[str, np.ndarray], order: str) -> Method:
    import torch

    t = {name: torch.tensor(value) for name, value in data.items()}
    for name in "qbh":
        t[name].requires_grad_(True)

    def value() -> Any:
        found = function(*[t[name] for name in order])
        return ((found[0] if isinstance(found, tuple) else found) * t["c"]).sum()

    def both() -> np.ndarray:
        for name in "qbh":
            t[name].grad = None
        value().backward()
        return t["q"].grad.numpy().copy()

    def forward() -> float:
        with torch.no_grad():
            return float(value())

    return forward, both, both


def moreau_solve(data: dict[str, np.ndarray]) -> Callable[..., Any]:
    """Moreau's active set method, through its own JAX face."""
    import moreau
    import moreau.jax

    n, e, m = data["q"].shape[1], data["b"].shape[1], data["h"].shape[1]
    solver = moreau.jax.Solver(
        n=n,
        m=e + m,
        P_row_offsets=n * np.arange(n + 1),
        P_col_indices=np.tile(np.arange(n), n),
        A_row_offsets=n * np.arange(e + m + 1),
        A_col_indices=np.tile(np.arange(n), e + m),
        cones=moreau.Cones(num_zero_cones=e, num_nonneg_cones=m),
        settings=moreau.Settings(solver="active_set", device="cpu"),
    )

    def solve(P: Any, q: Any, A: Any, b: Any, G: Any, h: Any) -> Any:
        return solver.solve(P.ravel(), jnp.concatenate([A, G]).ravel(), q, jnp.concatenate([b, h])).x

    return solve


def methods(data: dict[str, np.ndarray], everywhere: bool) -> dict[str, Method]:
    """Every method that is installed; those known to be slow at the smaller sizes only, unless `everywhere`."""
    entries = 0 if everywhere else data["q"].size
    rows = {"icg": in_jax(lambda P, q, A, b, G, h: icg.solve(icg.qp(P, q, A, b, G, h), throw=False).value, data)}
    try:
        rows["moreau"] = in_jax(moreau_solve(data), data)
    except ImportError:
        print("moreau is not installed: skipped")
    if entries <= 7000:
        try:
            import qpax

            rows["qpax"] = in_jax(qpax.solve_qp_primal, data)
        except ImportError:
            print("qpax is not installed: skipped")
        try:
            from qpth.qp import QPFunction

            rows["qpth"] = in_torch(QPFunction(verbose=-1, check_Q_spd=False), data, "PqGhAb")
        except ImportError:
            print("qpth is not installed: skipped")
    try:
        from proxsuite.torch.qplayer import QPFunction as QPLayer

        layer = QPLayer(structural_feasibility=True)
        rows["ProxQP"] = in_torch(lambda P, q, A, b, G, h: layer(P, q, A, b, G, h * 0 - 1e20, h), data, "PqAbGh")
    except ImportError:
        print("proxsuite is not installed: skipped")
    if entries <= 2000:
        try:
            from jaxopt import OSQP

            osqp = OSQP()
            rows["jaxopt OSQP"] = in_jax(
                lambda P, q, A, b, G, h: (
                    osqp.run(params_obj=(P, q), params_eq=(A, b), params_ineq=(G, h)).params.primal
                ),
                data,
            )
        except ImportError:
            print("jaxopt is not installed: skipped")
    return rows


def exact(data: dict[str, np.ndarray]) -> np.ndarray:
    """The gradient in `q` by the active-set formula."""
    arguments = [jnp.asarray(data[name]) for name in "PqAbGh"]
    _, z = jax.jit(jax.vmap(lambda *a: icg.solve(icg.qp(*a), throw=False).dual))(*arguments)
    rows = []
    for P, A, G, multipliers, c in zip(data["P"], data["A"], data["G"], np.asarray(z), data["c"], strict=True):
        C = np.vstack([A, G[multipliers > 1e-9]])
        K = np.block([[P, C.T], [C, np.zeros((len(C), len(C)))]])
        rows.append(-np.linalg.solve(K, np.append(c, np.zeros(len(C))))[: len(c)])
    return np.stack(rows)


def medians(rows: dict[str, Method], repeats: int) -> dict[str, tuple[float, float]]:
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in rows}
    for k in range(repeats + 1):
        for name, (forward, both, _) in rows.items():
            marks = [time.process_time()]
            for call in (forward, both):
                call()
                marks.append(time.process_time())
            if k:  # the first round compiles
                times[name].append((1e3 * (marks[1] - marks[0]), 1e3 * (marks[2] - marks[1])))
    return {name: tuple(np.median(np.asarray(t), axis=0)) for name, t in times.items()}  # type: ignore[misc]


def alone() -> None:
    """Single precision, one large program, and what a warm start saves."""

    def value(P: Any, q: Any, A: Any, b: Any, G: Any, h: Any) -> Any:
        return icg.solve(icg.qp(P, q, A, b, G, h), throw=False).value

    print("\n| icg alone | forward ms | forward + backward ms | gradient error |")
    print("|---|---|---|---|")
    for n, batch, dtype in ((50, 32, np.float32), (1000, 1, np.float64)):
        data = {name: entries.astype(dtype) for name, entries in programs(n, batch).items()}
        row = in_jax(value, data)
        forward, both = medians({"icg": row}, 3)["icg"]
        right = exact({name: entries.astype(float) for name, entries in data.items()})
        error = np.abs(row[2]() - right).max() / np.abs(right).max()
        print(f"| n = {n}, batch {batch}, {np.dtype(dtype)} | {forward:.3g} | {both:.3g} | {error:.1e} |", flush=True)
    d = [jnp.asarray(programs(100, 32)[name]) for name in "PqAbGh"]

    @jax.jit
    @jax.vmap
    def iterations(P: Any, q: Any, A: Any, b: Any, G: Any, h: Any) -> Any:
        cold = icg.solve(icg.qp(P, q, A, b, G, h))
        warm = icg.solve(icg.qp(P, q * 1.01, A, b, G, h), init=cold.root)
        return cold.iterations, warm.iterations

    cold, warm = iterations(*d)
    print(f"\nrounds at n = 100, cold: {cold.mean():.1f}, from the solution at q / 1.01: {warm.mean():.1f}")


def main(arguments: list[str]) -> int:
    named = [tuple(int(part) for part in name.split("x")) for name in arguments if "x" in name]
    sizes = [(10, 32), (50, 32)] if "--small" in arguments else named
    sizes = sizes or [(n, b) for n in (10, 50, 100, 200) for b in (1, 32, 128)]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, jax {jax.__version__}")
    print("command: python benchmarks/qp.py " + " ".join(arguments))
    if "--alone" in arguments:
        alone()
        return 0
    print("\n| n | batch | method | forward ms | forward + backward ms | ratio to icg | gradient error |")
    print("|---|---|---|---|---|---|---|")
    for n, batch in sizes:
        data = programs(n, batch)
        rows = methods(data, "--all" in arguments)
        found, right = medians(rows, 5 if n * batch < 5000 else 1 if "--all" in arguments else 3), exact(data)
        for name, (forward, both) in found.items():
            error = np.abs(rows[name][2]() - right).max() / np.abs(right).max()
            ratio = both / found["icg"][1]
            print(f"| {n} | {batch} | {name} | {forward:.3g} | {both:.3g} | {ratio:.2g} | {error:.1e} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
