"""Every inverse solves with the `B` of its equation and with the transpose, and says so truthfully."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import implicitcg as icg
from implicitcg.core import AbstractInverse, AbstractProblem, Facts
from implicitcg.linear import dense_inverse, shifted_inverse
from implicitcg.linear.solves import as_matrix

rng = np.random.default_rng(5)
X, y = rng.normal(size=(20, 7)), rng.normal(size=20)
P, q = np.eye(4), rng.normal(size=4)
G, h = rng.normal(size=(5, 4)), np.full(5, 0.3)
W = rng.normal(size=(6, 6)) / 8
PROBLEMS = {
    "face": icg.lasso(X, y, 0.2),
    "kkt": icg.qp(P, q, np.ones((1, 4)), np.zeros(1), G, h),
    "cone": icg.conic(P, q, -np.eye(4), np.ones(4), icg.cones.SecondOrder(4)),
    "splitting": icg.affine_equilibrium(W, rng.normal(size=6)),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_an_inverse_solves_with_B_and_with_its_transpose(name):
    problem = PROBLEMS[name]
    root = icg.solve(problem).root
    flat, unravel = ravel_pytree(root)
    x = jnp.cos(jnp.arange(len(flat), dtype=flat.dtype))

    @eqx.filter_jit
    def solved(problem, root):
        linearisation = problem.linearise(root)
        B = as_matrix(linearisation.on_vectors(unravel), len(flat), flat.dtype)
        inverse, dense = linearisation.inverse, dense_inverse(B)
        return [solver.solve(M @ x, transposed=t) for solver in (inverse, dense) for t, M in ((False, B), (True, B.T))]

    for found, regular in solved(problem, root):
        assert regular
        np.testing.assert_allclose(
            found, x, atol=1e-9
        )  # the splitting stops at eps^(3/4) = 2e-12, conditions are small


def test_a_shifted_inverse_solves_what_has_a_solution_and_refuses_the_rest():
    B = jnp.asarray(np.diag([2.0, 3.0, 0.0]) + np.eye(3, k=1))
    inverse = shifted_inverse(B)
    for transposed, matrix in ((False, B), (True, B.T)):
        x, solved = inverse.solve(matrix @ jnp.ones(3), transposed=transposed)
        assert solved
        np.testing.assert_allclose(matrix @ x, matrix @ jnp.ones(3), rtol=1e-7)
        assert not inverse.solve(jnp.linalg.svd(matrix)[0][:, -1], transposed=transposed)[1]
    null = inverse.null_vector()
    assert jnp.linalg.norm(null) > 0.1
    np.testing.assert_allclose(B @ null, 0, atol=1e-7)


class Wrong(AbstractInverse):
    """Claims to be an inverse."""

    factor: jax.Array
    known: bool | None = eqx.field(static=True)

    def facts(self):
        return Facts(applies=self.known)

    def solve(self, rhs, *, transposed):
        return self.factor * rhs, jnp.asarray(True)


class Scaled(AbstractProblem):
    """`scale z = theta` for many unknowns, with an inverse that may be wrong."""

    theta: jax.Array
    inverse: AbstractInverse

    def residual(self, z):
        return 4 * z - self.theta

    def initial(self):
        return jnp.zeros_like(self.theta)

    def default_solver(self):
        return icg.solvers.NewtonKrylov()

    def linearise(self, z, memory=None):
        return dataclasses.replace(super().linearise(z, memory), inverse=self.inverse)


@pytest.mark.parametrize("known", [None, True])
def test_an_inverse_without_a_proof_is_judged_by_residuals(known, fails_with):
    def total(theta, factor):
        return icg.solve(Scaled(theta, Wrong(jnp.asarray(factor), known))).value.sum()

    theta = jnp.ones(200)
    np.testing.assert_allclose(jax.grad(total)(theta, 0.25), 0.25)
    fails_with("did not reach its tolerance", jax.grad(total), theta, 0.3)
