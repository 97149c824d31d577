"""The table of cases: one row for every problem, solver and adjoint that the laws must hold for.

A row maps parameters `theta` to a problem. `solvers` and `adjoints` are alternatives that must agree with the default.
`singular` maps the same parameters to a problem whose derivative must be refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.linear_model import Lasso

import implicitcg as icg


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    name: str
    problem: Callable[[Any], Any]
    theta: Any
    solvers: tuple = ()
    adjoints: tuple = ()
    biased: tuple = ()
    init: Any = None
    singular: Any = None

    def solution(self, theta: Any, **options: Any) -> Any:
        return icg.solve(self.problem(theta), init=self.start(theta), **options)

    def start(self, theta: Any) -> Any:
        """The starting point, in the dtype of the parameters; `None` for the problem's own."""
        dtype = jnp.result_type(*jax.tree.leaves(theta))
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), self.init)

    def value(self, theta: Any, **options: Any) -> Any:
        return self.solution(theta, **options).value


def regression(n: int, p: int, seed: int, correlation: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """A correlated design and a response that a few features explain."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    for j in range(1, p):
        X[:, j] = correlation * X[:, j - 1] + np.sqrt(1 - correlation**2) * X[:, j]
    coefficients = np.zeros(p)
    coefficients[:: max(p // 4, 1)] = [1.5, -2.0, 1.0, 0.7, -0.4][: len(coefficients[:: max(p // 4, 1)])]
    return X, X @ coefficients + 0.3 * rng.standard_normal(n)


def scikit_learn(problem: Any) -> np.ndarray:
    """A LASSO solver that JAX cannot differentiate. Weights become column scales."""
    X, y = problem.smooth.X.on_host(), problem.smooth.y
    if problem.smooth.fit_intercept:
        X, y = X - X.mean(axis=0), y - y.mean()
    alpha = np.broadcast_to(problem.penalty.alpha, X.shape[1])
    model = Lasso(1.0, fit_intercept=False, tol=1e-14, max_iter=100_000)
    return model.fit(X / alpha, y).coef_ / alpha


_X, _y = regression(12, 5, seed=0)
_X_wide, _y_wide = regression(8, 15, seed=1)
_W = 0.35 * np.random.default_rng(2).standard_normal((4, 4))
_U = np.random.default_rng(3).standard_normal(4)

host = icg.solvers.external.HostSolver(scikit_learn)
every_adjoint = (
    icg.adjoints.Direct(),
    icg.adjoints.ConjugateGradient(),
    icg.adjoints.GMRES(),
    icg.adjoints.MinimumNorm(),
)
biased_adjoints = (icg.adjoints.OneStep(), icg.adjoints.Neumann(3), icg.adjoints.Phantom(3, 0.5))
general_adjoints = (icg.adjoints.Direct(), icg.adjoints.GMRES(), icg.adjoints.MinimumNorm())


def duplicated(X: np.ndarray) -> np.ndarray:
    return np.concatenate([X, X[:, :1]], axis=1)


CASES = [
    Case(
        "lasso, one penalty",
        lambda t: icg.lasso(_like(_X, t), _like(_y, t), jnp.exp(t)),
        jnp.asarray(-1.5),
        solvers=(icg.solvers.external.ScikitLearn(), icg.solvers.ProximalGradient()),
        adjoints=every_adjoint,
        singular=lambda t: icg.lasso(duplicated(_X), _y, jnp.exp(t)),
    ),
    Case(
        "lasso, one penalty a feature",
        lambda t: icg.lasso(_like(_X, t), _like(_y, t), jnp.exp(t)),
        jnp.asarray([-1.5, -2.0, -2.5, -1.0, -0.5]),
        solvers=(host,),
        adjoints=every_adjoint,
        singular=lambda t: icg.lasso(duplicated(_X), _y, jnp.append(jnp.exp(t), jnp.exp(t[0]))),
    ),
    Case(
        "lasso, in its data and with an intercept",
        lambda t: icg.lasso(t["X"], t["y"], t["alpha"], fit_intercept=True),
        {"X": jnp.asarray(_X) + 1.0, "y": jnp.asarray(_y), "alpha": jnp.asarray(0.2)},
        solvers=(host, icg.solvers.ProximalGradient()),
        adjoints=every_adjoint,
        singular=lambda t: icg.lasso(duplicated(_X), t["y"], t["alpha"], fit_intercept=True),
    ),
    Case(
        "lasso, more features than samples",
        lambda t: icg.lasso(_like(_X_wide, t), t, 0.05),
        jnp.asarray(_y_wide),
        solvers=(host,),
        adjoints=every_adjoint,
    ),
    Case(
        "fixed point of a ReLU layer",
        lambda t: icg.fixed_point(lambda z, t: {"z": jax.nn.relu(t["W"] @ z["z"] + t["U"])}, t),
        {"W": jnp.asarray(_W), "U": jnp.asarray(_U)},
        solvers=(
            icg.solvers.FixedPointIteration(damping=0.7),
            icg.solvers.Anderson(),
            icg.solvers.Broyden(),
            icg.solvers.NewtonKrylov(),
            icg.solvers.Measured(),
            icg.solvers.Polished(icg.solvers.Anderson(tolerance=1e-4)),
        ),
        adjoints=(*general_adjoints, icg.adjoints.Anderson(), icg.adjoints.Measured()),
        biased=biased_adjoints,
        init={"z": np.zeros(4)},
        singular=lambda t: icg.fixed_point(lambda z, t: {"z": z["z"] + 0.0 * t["U"]}, t),
    ),
    Case(
        "root of a smooth system",
        lambda t: icg.root(lambda z, a: jnp.stack([z[0] ** 2 + z[1] - a[0], jnp.exp(z[0]) - z[1] * a[1]]), t),
        jnp.asarray([3.0, 2.0]),
        solvers=(icg.solvers.NewtonKrylov(), icg.solvers.Broyden()),
        adjoints=general_adjoints,
        biased=biased_adjoints[:1],
        init=np.asarray([1.0, 1.0]),
        singular=lambda t: icg.root(lambda z, a: jnp.stack([z[0] + z[1] - a[0], 2 * (z[0] + z[1] - a[0])]), t),
    ),
]


_labels = np.sign(_X @ np.asarray([1.0, -1.0, 0.5, 0.0, 0.0]) + 0.6 * np.random.default_rng(8).standard_normal(12))
_groups = np.asarray([0, 0, 1, 1, 1])
_weights = np.linspace(0.5, 1.5, 12)
_copied = np.concatenate([_X, _X[:, :2]], axis=1)  # a group and its copy
first_order = icg.solvers.ProximalGradient()

CASES += [
    Case(
        "elastic net, in its penalties and sample weights",
        lambda t: icg.elastic_net(_like(_X, t["w"]), _like(_y, t["w"]), t["alpha"], t["ratio"], sample_weight=t["w"]),
        {"alpha": jnp.asarray(0.3), "ratio": jnp.asarray(0.6), "w": jnp.asarray(_weights)},
    ),
    Case(
        "group lasso, in its data and with an intercept",
        lambda t: icg.group_lasso(t["X"], t["y"], t["alpha"], _groups, fit_intercept=True),
        {"X": jnp.asarray(_X) + 1.0, "y": jnp.asarray(_y), "alpha": jnp.asarray(0.2)},
        solvers=(first_order,),
        adjoints=(icg.adjoints.ConjugateGradient(),),
        singular=lambda t: icg.group_lasso(_copied, t["y"], t["alpha"], [0, 0, 1, 1, 1, 2, 2]),
    ),
    Case(
        "sparse logistic regression, in its data, with an intercept and sample weights",
        lambda t: icg.sparse_logistic(
            t["X"], _like(_labels, t["X"]), t["alpha"], fit_intercept=True, sample_weight=t["weights"]
        ),
        {
            "X": jnp.asarray(_X),
            "alpha": jnp.asarray([0.02, 0.04, 0.03, 0.05, 0.02]),
            "weights": jnp.asarray(_weights),
        },
    ),
    Case(
        "support vector regression",
        lambda t: icg.svr(t["X"], t["y"], t["C"], t["epsilon"]),
        {"X": jnp.asarray(_X), "y": jnp.asarray(_y), "C": jnp.asarray(0.3), "epsilon": jnp.asarray(0.1)},
        solvers=(icg.solvers.SemismoothNewton(),),
        singular=lambda t: icg.svr(np.tile(_X, (2, 1)), jnp.tile(t["y"], 2), t["C"], t["epsilon"]),
    ),
    Case(
        "minimax concave penalty, at a stationary point",
        lambda t: icg.mcp_regression(_like(_X, t["y"]), t["y"], t["alpha"], t["gamma"]),
        {"y": jnp.asarray(_y), "alpha": jnp.asarray(0.2), "gamma": jnp.asarray(3.0)},
    ),
]

_P = (lambda L: L @ L.T + np.eye(4))(np.random.default_rng(5).standard_normal((4, 4)))
_A, _G = np.random.default_rng(6).standard_normal((2, 4)), np.random.default_rng(7).standard_normal((5, 4))

CASES += [
    Case(
        "quadratic program, in all its data",
        lambda t: icg.qp(t["P"], t["q"], t["A"], t["b"], t["G"], t["h"]),
        {
            "P": jnp.asarray(_P),
            "q": jnp.asarray([1.0, -2.0, 0.5, 0.3]),
            "A": jnp.asarray(_A[:1]),
            "b": jnp.asarray([0.2]),
            "G": jnp.asarray(_G),
            "h": jnp.asarray([0.1, -0.2, 0.3, 0.2, 0.1]),
        },
        adjoints=general_adjoints,
    ),
]

_M = np.random.default_rng(11).standard_normal((4, 4))
_monotone = 0.8 * np.eye(4) - _M.T @ _M + 2 * (_M - _M.T)  # of norm 8: no contraction
splittings = (icg.solvers.ForwardBackward(), icg.solvers.Newton(), icg.solvers.NewtonKrylov())

CASES += [
    Case(
        "monotone layer",
        lambda t: icg.affine_equilibrium(t["W"], t["b"]),
        {"W": jnp.asarray(_monotone), "b": jnp.asarray([1.0, -2.0, 1.5, 0.5])},
        solvers=(*splittings, icg.solvers.Polished(icg.solvers.PeacemanRachford(tolerance=1e-4))),
        adjoints=(*general_adjoints, icg.adjoints.PeacemanRachford(), icg.adjoints.Measured()),
        biased=biased_adjoints,
    ),
    Case(
        "monotone layer with a soft threshold as its activation",
        lambda t: icg.affine_equilibrium(
            _like(_monotone, t["b"]), t["b"], icg.penalties.Prox(icg.penalties.L1(t["alpha"]))
        ),
        {"alpha": jnp.asarray(0.3), "b": jnp.asarray([1.0, -2.0, 1.5, 0.5])},
        biased=biased_adjoints[1:2],
    ),
]

CASES += [
    Case(
        "least squares on a simplex",
        lambda t: icg.composite(
            icg.penalties.LeastSquares(_like(_X, t["y"]), t["y"]), icg.penalties.Simplex(t["radius"])
        ),
        {"y": jnp.asarray(_y), "radius": jnp.asarray(1.2)},
    ),
    Case(
        "least squares with total variation",
        lambda t: icg.composite(
            icg.penalties.LeastSquares(_like(_X, t["y"]), t["y"]), icg.penalties.TotalVariation(t["t"])
        ),
        {"y": jnp.asarray(_y), "t": jnp.asarray(0.3)},
    ),
    Case(
        "fixed point in a second-order cone",
        lambda t: icg.fixed_point(
            lambda z, P, q: icg.projections.second_order_cone(z - 0.1 * (P @ z + q)), t["P"], t["q"]
        ),
        {"P": jnp.asarray(_P), "q": jnp.asarray([1.0, -2.0, 0.5, 0.3])},
        adjoints=general_adjoints,
        init=np.asarray([1.0, 0.0, 0.0, 0.0]),
    ),
]

_K = icg.cones.Product(icg.cones.Nonnegative(2), icg.cones.SecondOrder(3))

CASES += [
    Case(
        "cone program, in all its data",
        lambda t: icg.conic(t["P"], t["q"], t["A"], t["b"], _K),
        {
            "P": jnp.asarray(_P),
            "q": jnp.asarray([1.0, -2.0, 0.5, 0.3]),
            "A": jnp.asarray(_G),
            "b": jnp.asarray([0.1, 0.2, 0.3, 0.1, 0.1]),
        },
        adjoints=general_adjoints,
    ),
]


def _like(array: np.ndarray, theta: Any) -> jax.Array:
    """Constants in the dtype of the parameter, so that one row serves float32 and float64."""
    return jnp.asarray(array, jnp.result_type(theta))
