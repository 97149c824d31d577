"""Cone programs against the bare solver and the peers: the forward solve, the backward pass, the gradient's error.

    python benchmarks/conic.py [--small]

All methods run in one process, alternating; CPU time, medians. The programs are what cvxpy makes of the models below.
Forward is the solution to rounding for `icg.conic`, and to 1e-8 for Clarabel, diffcp and Moreau. Backward is a vector
times the Jacobian in `q`, `A` and `b`; for `icg.conic` it is the time of value and gradient less that of the value.
The error of a gradient is measured along a random direction against central differences of polished solutions.
"""

from __future__ import annotations

import itertools
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # two BLAS threads stall each other on small machines

import platform
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import cvxpy as cp
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jax.experimental.sparse import BCOO

import implicitcg as icg

jax.config.update("jax_enable_x64", True)


class Model(NamedTuple):
    """A problem with the values of its parameters set, and what a layer of it returns."""

    problem: cp.Problem
    parameters: list[cp.Parameter]
    variables: list[cp.Variable]


def given(value: np.ndarray, **attributes: bool) -> cp.Parameter:
    return cp.Parameter(value.shape, value=value, **attributes)


def portfolio(n: int) -> Model:
    random = np.random.default_rng(0)
    k = n // 10
    F = random.standard_normal((n, k)) / np.sqrt(k)
    d, mu = given(0.1 + 0.2 * random.random(n)), given(0.1 + 0.1 * random.standard_normal(n))
    w = cp.Variable(n)
    risk = cp.norm(cp.hstack([F.T @ w, cp.multiply(d, w)]))
    return Model(cp.Problem(cp.Maximize(mu @ w), [cp.sum(w) == 1, w >= 0, risk <= 0.12]), [mu, d], [w])


def nonnegative_least_squares() -> Model:
    random = np.random.default_rng(1)
    A = given(random.standard_normal((200, 100)))
    b = given(A.value @ np.maximum(random.standard_normal(100), 0) + random.standard_normal(200))
    x = cp.Variable(100)
    return Model(cp.Problem(cp.Minimize(cp.sum_squares(A @ x - b)), [x >= 0]), [A, b], [x])


def logistic() -> Model:
    random = np.random.default_rng(2)
    X = given(random.standard_normal((100, 20)))
    y = np.sign(X.value @ random.standard_normal(20) + random.standard_normal(100))
    w = cp.Variable(20)
    loss = cp.sum(cp.logistic(-cp.multiply(y, X @ w)))
    return Model(cp.Problem(cp.Minimize(loss + cp.norm1(w))), [X], [w])


def semidefinite() -> Model:
    random = np.random.default_rng(3)
    draws = [random.standard_normal((20, 20)) for _ in range(22)]
    constraints = [(M + M.T) / 2 for M in draws[:20]]
    inside, cost = draws[20] @ draws[20].T / 20, given(draws[21] @ draws[21].T / 20 + np.eye(20), symmetric=True)
    traces = given(np.array([np.trace(M @ inside) for M in constraints]))
    X = cp.Variable((20, 20), symmetric=True)
    equal = [cp.trace(M @ X) == traces[i] for i, M in enumerate(constraints)]
    return Model(cp.Problem(cp.Minimize(cp.trace(cost @ X)), [*equal, X >> 0]), [cost, traces], [X])


MODELS: dict[str, Callable[[], Model]] = {
    "portfolio, n = 100": lambda: portfolio(100),
    "portfolio, n = 500": lambda: portfolio(500),
    "nonnegative least squares, 200x100": nonnegative_least_squares,
    "logistic, 100x20": logistic,
    "semidefinite, 20x20": semidefinite,
}


class Program:
    """The data of a model in Clarabel's form."""

    def __init__(self, problem: cp.Problem):
        data, _, _ = problem.get_problem_data(cp.CLARABEL)
        self.q, self.b, self.A, self.dims = data["c"], data["b"], sp.csc_matrix(data["A"]), data["dims"]
        P = data.get("P")
        self.P = None if P is None else sp.csc_matrix(P)
        if self.P is not None and abs(self.P - self.P.T).max() > 0:
            self.P = sp.csc_matrix(self.P + self.P.T - sp.diags(self.P.diagonal()))
        cones: list[Any] = [icg.cones.Zero(self.dims.zero)] if self.dims.zero else []
        cones += [icg.cones.Nonnegative(self.dims.nonneg)] if self.dims.nonneg else []
        cones += [icg.cones.SecondOrder(d) for d in self.dims.soc] + [icg.cones.PSD(d) for d in self.dims.psd]
        self.cone = icg.cones.Product(*cones, *[icg.cones.Exponential()] * self.dims.exp)
        self.weight = np.cos(1.0 + np.arange(len(self.q)))  # the loss is weight @ x


def ours(program: Program) -> tuple[Callable[[], Any], Callable[[], Any], float]:
    """Forward, forward and backward, and the error of the directional derivative."""
    entries = sp.coo_matrix(program.A)
    indices = jnp.asarray(np.stack([entries.row, entries.col], axis=1))
    weight = jnp.asarray(program.weight)

    def loss(theta: Any) -> Any:
        A = BCOO((theta["A"], indices), shape=program.A.shape)
        return weight @ icg.solve(icg.conic(program.P, theta["q"], A, theta["b"], program.cone)).value

    theta = {"A": jnp.asarray(entries.data), "q": jnp.asarray(program.q), "b": jnp.asarray(program.b)}
    value, both = jax.jit(loss), jax.jit(jax.value_and_grad(loss))
    gradient = both(theta)[1]
    random = np.random.default_rng(5)
    direction = {k: jnp.asarray(random.standard_normal(v.shape) * (np.abs(v) > 0)) for k, v in theta.items()}
    norm = float(jnp.sqrt(sum(jnp.sum(d * d) for d in direction.values())))
    direction = {k: d / norm for k, d in direction.items()}
    step = 1e-5  # error h^2 from curvature and eps / h from rounding: both 1e-10
    ends = [float(value({k: theta[k] + s * step * direction[k] for k in theta})) for s in (1, -1)]
    difference = (ends[0] - ends[1]) / (2 * step)
    slope = float(sum(jnp.vdot(gradient[k], direction[k]) for k in theta))
    error = abs(slope - difference) / max(abs(difference), 1e-3)
    calls = itertools.count()

    def fresh() -> Any:  # other numbers at every call: what was factorised before does not serve again
        scale = 1 + 1e-9 * next(calls)
        return {name: np.asarray(entries) * scale for name, entries in theta.items()}

    return lambda: jax.block_until_ready(value(fresh())), lambda: jax.block_until_ready(both(fresh())), error


def bare(program: Program) -> Callable[[], Any]:
    import clarabel

    settings = clarabel.DefaultSettings()
    settings.verbose = False
    dims, n = program.dims, len(program.q)
    cones = [clarabel.ZeroConeT(dims.zero)] if dims.zero else []
    cones += [clarabel.NonnegativeConeT(dims.nonneg)] if dims.nonneg else []
    cones += [clarabel.SecondOrderConeT(d) for d in dims.soc] + [clarabel.PSDTriangleConeT(d) for d in dims.psd]
    cones += [clarabel.ExponentialConeT()] * dims.exp
    P = sp.csc_matrix((n, n)) if program.P is None else sp.triu(program.P, format="csc")
    return lambda: clarabel.DefaultSolver(P, program.q, program.A, program.b, cones, settings).solve()


def diffcp_rows(problem: cp.Problem, rows: dict[str, Callable[[], Any]]) -> None:
    """Diffcp on the same model; it has no quadratic objectives, which cvxpy turns into cones for it."""
    try:
        import diffcp
    except ImportError:
        print("diffcp is not installed: left out", file=sys.stderr)
        return
    data, _, _ = problem.get_problem_data(cp.SCS, solver_opts={"use_quad_obj": False})
    dims = data["dims"]
    cone = {"z": dims.zero, "l": dims.nonneg, "q": list(dims.soc), "s": list(dims.psd), "ep": dims.exp}
    A, b, c = sp.csc_matrix(data["A"]), data["b"], data["c"]
    weight = np.cos(1.0 + np.arange(len(c)))

    def forward() -> Any:
        return diffcp.solve_and_derivative(A, b, c, cone, solve_method="CLARABEL", verbose=False)

    _, y, s, _, adjoint = forward()
    rows["diffcp"] = forward
    rows["diffcp backward"] = lambda: adjoint(weight, np.zeros_like(y), np.zeros_like(s))


def moreau_rows(program: Program, rows: dict[str, Callable[[], Any]]) -> None:
    try:
        import moreau
    except ImportError:
        print("moreau is not installed: left out", file=sys.stderr)
        return
    dims, n = program.dims, len(program.q)
    zero = dims.zero + dims.nonneg + sum(dims.soc)
    matrices = sum(d * (d + 1) // 2 for d in dims.psd)  # Moreau has them last
    order = np.concatenate(
        [np.arange(zero), np.arange(zero + matrices, len(program.b)), np.arange(zero, zero + matrices)]
    )
    cones = moreau.Cones(
        num_zero_cones=dims.zero,
        num_nonneg_cones=dims.nonneg,
        so_cone_dims=list(dims.soc),
        num_exp_cones=dims.exp,
        psd_dims=list(dims.psd),
    )
    P = sp.csr_array((n, n)) if program.P is None else sp.csr_array(program.P)
    settings = moreau.Settings(device="cpu", enable_grad=True)
    A, b = sp.csr_array(program.A[order]), program.b[order]
    last: dict[str, Any] = {}

    def forward() -> Any:
        last["solver"] = moreau.Solver(P, program.q, A, b, cones, settings)
        return last["solver"].solve()

    rows["moreau"] = forward
    rows["moreau backward"] = lambda: last["solver"].backward(program.weight)


def medians(rows: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """CPU milliseconds of each row, alternating, after one run that warms up; a row that fails is left out."""
    spent: dict[str, list[float]] = {}
    for name, run in rows.items():
        try:
            run()
            spent[name] = []
        except Exception as error:
            print(f"{name} failed: {str(error)[:100]}", file=sys.stderr)
    for _ in range(repeats):
        for name in spent:
            begin = time.process_time()
            rows[name]()
            spent[name].append(time.process_time() - begin)
    return {name: 1e3 * float(np.median(times)) for name, times in spent.items()}


def main() -> int:
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()},")
    print(f"jax {jax.__version__}, cvxpy {cp.__version__}; command: python {' '.join(sys.argv)}\n")
    names = ["Clarabel", "forward", "diffcp", "moreau"]
    print("| model | Clarabel | icg forward | ratio | diffcp forward | moreau forward | icg backward | ", end="")
    print("diffcp backward | ratio | moreau backward | icg gradient error |")
    print("|---" * 11 + "|")
    for name, model in list(MODELS.items())[: 3 if "--small" in sys.argv else None]:
        problem = model().problem
        program = Program(problem)
        forward, both, error = ours(program)
        rows: dict[str, Callable[[], Any]] = {"Clarabel": bare(program), "forward": forward, "both": both}
        diffcp_rows(problem, rows)
        moreau_rows(program, rows)
        found = medians(rows, 11)
        backward = max(found["both"] - found["forward"], 1e-3)

        def cell(key: str, found: dict[str, float] = found) -> str:
            return f"{found[key]:.3g}" if key in found else "-"

        slower = f"{found['diffcp backward'] / backward:.1f}" if "diffcp backward" in found else "-"
        first = f"{cell(names[0])} | {cell(names[1])} | {found['forward'] / found['Clarabel']:.2f}"
        print(
            f"| {name} | {first} | {cell('diffcp')} | {cell('moreau')} | {backward:.3g} | {cell('diffcp backward')} | "
            f"{slower} | {cell('moreau backward')} | {error:.1e} |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
