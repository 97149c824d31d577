"""`certify`: whether the derivative of a solution may be trusted."""

from __future__ import annotations

import jax
import numpy as np

from ..base import Status, is_traced
from .certificate import Certificate
from .problem import AbstractProblem
from .solve import Solution


def certify(problem: AbstractProblem, solution: Solution, *, tol: float | None = None) -> Certificate:
    """Whether every element of the conservative Jacobian of the optimality equation is invertible at a solution.

    The claim `certified` is about all `B` in `{B : [A B] in J_F(theta, z)}`, not about the one that a derivative
    happened to use. It rests on the test that fits the problem: for the LASSO family, positive definiteness of the
    Hessian on the equicorrelation set, which is exact.

    Args:
        problem: the problem that was solved.
        solution: what `icg.solve` returned for it (one solution, not a batch).
        tol: kinks at most this far away count as active, in the units of `margin`; by default the error bound of the
            solution, which is how well its kinks can be told apart.

    Returns:
        A `Certificate`; `print` it for a summary.

    Raises:
        TypeError: inside `jit` or `vmap`: a certificate is a decision about concrete numbers.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> problem = icg.lasso(jnp.eye(2), jnp.array([2.0, 1.0]), 0.75)
        >>> icg.certify(problem, icg.solve(problem)).verdict
        'certified'

    Source: Bolte, Le, Pauwels, Silveti-Falls, NeurIPS 2021, theorem 2 and its corollary for the lasso.
    """
    if not isinstance(problem, AbstractProblem) or not isinstance(solution, Solution):
        raise TypeError("icg.certify takes the problem and the Solution that icg.solve returned for it, in this order.")
    if is_traced((problem, solution)):
        raise TypeError(
            "icg.certify needs concrete numbers and was called inside a JAX transformation. Return the solution from "
            "the transformed function and certify it outside; for a batch, certify one element at a time."
        )
    if np.ndim(solution.residual) != 0:
        raise TypeError(
            f"This is a batch of {np.size(solution.residual)} solutions; certify one at a time: "
            "`jax.tree.map(lambda leaf: leaf[i], ...)`."
        )
    if not bool(solution.converged):
        return Certificate(
            "unknown", 0, np.nan, np.nan, 0, f"there is no solution to certify. {Status[solution.status]}"
        )
    if tol is not None and not (np.isfinite(tol) and tol >= 0):
        raise ValueError(f"tol is {tol}; give a finite distance >= 0, or None for the solution's error bound.")
    problem = problem.closed(solution.root)
    root = jax.tree.map(np.asarray, solution.root)
    return problem.certificate(root, float(solution.residual), None if tol is None else float(tol))
