"""The door: what is returned, printed and refused."""

from typing import get_args, get_origin

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import implicitcg as icg
from implicitcg.base.watching import watching
from implicitcg.core import AbstractProblem, AbstractSolver
from implicitcg.equations import QP, AffineEquilibrium, Composite, Conic
from implicitcg.solvers.automatic import default_solver


def problem(alpha=0.75):
    return icg.lasso(jnp.eye(2), jnp.asarray([2.0, 1.0]), alpha)


def test_a_solution_prints_its_status_its_accuracy_and_its_value():
    text = str(icg.solve(problem()))
    assert "The solver converged." in text and "relative duality gap" in text and "0.5" in text


def test_a_batch_of_solutions_prints_its_shapes():
    batch = jax.vmap(lambda alpha: icg.solve(problem(alpha)))(jnp.asarray([0.1, 0.2]))
    assert "f64[2,2]" in str(batch)


def test_only_value_and_dual_carry_derivatives():
    def parts(alpha):
        solution = icg.solve(problem(alpha))
        return solution.residual + jnp.sum(solution.root) + solution.gap

    assert float(jax.grad(parts)(0.75)) == 0.0


def test_a_wrong_start_is_refused_by_shape_and_structure():
    with pytest.raises(ValueError, match="shape"):
        icg.solve(problem(), init=np.zeros(3))
    with pytest.raises(ValueError, match="structure"):
        icg.solve(problem(), init={"w": np.zeros(2)})


def test_a_solver_that_is_none_and_a_solver_for_another_problem_are_refused():
    with pytest.raises(TypeError, match=r"one of icg\.solvers"):
        icg.solve(problem(), solver="newton")
    with pytest.raises(TypeError, match="has no smooth and no penalty"):
        icg.solve(icg.root(lambda z, a: z - a, 1.0), icg.solvers.ActiveSet())


def everywhere(kind):
    """A class and all that inherit from it."""
    return {kind}.union(*map(everywhere, kind.__subclasses__()))


def test_every_solver_says_what_it_solves_in_its_type_and_is_asked_by_it():
    for solver in everywhere(AbstractSolver):
        told = [get_args(base)[0] for base in vars(solver).get("__orig_bases__", ()) if get_args(base)]
        for kind in told if solver is not AbstractSolver else ():
            assert solver.solves is (get_origin(kind) or kind)
    shown = {name: getattr(icg.solvers, name) for name in dir(icg.solvers) if name[0].isupper()}
    assert all(issubclass(kind, AbstractSolver) for kind in shown.values())  # the room publishes solvers only
    kinds = {"ActiveSet": Composite, "Pivoting": QP, "PeacemanRachford": AffineEquilibrium, "Newton": AbstractProblem}
    assert {name: shown[name].solves for name in kinds} == kinds and icg.solvers.external.SCS.solves is Conic
    with pytest.raises(TypeError, match=r"Polished .* it solves a QP, .* Composite has no P and .* use ActiveSet\."):
        icg.solve(problem(), icg.solvers.Polished(icg.solvers.Pivoting()))
    nonconvex = icg.mcp_regression(jnp.eye(2), jnp.ones(2), 0.1)
    with pytest.raises(TypeError, match=r"weighted l1 penalty .* LeastSquares plus MCP\. .* use SemismoothNewton\."):
        icg.solve(nonconvex, icg.solvers.ActiveSet())


class Square(AbstractProblem):
    """`z^2 = a`."""

    a: jax.Array

    def residual(self, z):
        return z**2 - self.a

    def initial(self):
        return jnp.ones_like(self.a)


class NamedSquare(Square):
    def default_solver(self):
        return icg.solvers.Broyden()


def test_a_problem_of_ones_own_gets_the_general_solver_unless_it_names_one():
    a = jnp.asarray([4.0, 9.0])
    np.testing.assert_allclose(icg.solve(Square(a)).value, [2, 3], rtol=1e-12)
    assert isinstance(default_solver(Square(a)), icg.solvers.Newton)
    assert isinstance(default_solver(NamedSquare(a)), icg.solvers.Broyden)


def test_a_starting_point_that_cannot_be_guessed_is_asked_for():
    with pytest.raises(ValueError, match="cannot be inferred"):
        icg.solve(icg.fixed_point(lambda z: {"a": z["a"] / 2}))


def test_a_map_that_changes_shape_or_has_no_fixed_point_is_told(fails_with):
    with pytest.raises(ValueError, match="keep the structure"):
        icg.solve(
            icg.fixed_point(
                lambda z: jnp.stack([z, z]),
            ),
            init=np.zeros(2),
        )
    fails_with("step limit", lambda: icg.solve(icg.fixed_point(lambda z, x: z + x, 1.0)))
    fails_with("non-finite", lambda: icg.solve(icg.root(lambda z, x: jnp.log(z) + x, 1.0), init=-1.0))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((np.eye(2), np.zeros((2, 1))), "q has shape"),
        ((np.eye(3), np.zeros(2)), "P has shape"),
        ((np.eye(2), np.zeros(2), np.ones((1, 3)), np.ones(1)), "A has shape"),
        ((np.eye(2), np.zeros(2), np.ones((1, 2))), "A and b belong together"),
        ((np.eye(2) * np.nan, np.zeros(2)), "P has 4 NaN"),
    ],
)
def test_quadratic_programs_of_wrong_shape_name_the_matrix(data, message):
    with pytest.raises(ValueError) as caught:
        icg.qp(*data)
    assert message in str(caught.value)


def test_quadratic_programs_without_a_solution_say_which_kind(fails_with):
    eye, zero = jnp.eye(2), jnp.zeros(2)
    contradictory = icg.qp(eye, zero, G=jnp.asarray([[1.0, 0.0], [-1.0, 0.0]]), h=-jnp.ones(2))
    fails_with("infeasible", lambda: icg.solve(contradictory))
    fails_with("unbounded", lambda: icg.solve(icg.qp(0 * eye, jnp.asarray([-1.0, 0.0]), G=-eye, h=zero)))
    flat = icg.qp(0 * eye, jnp.asarray([1.0, 0.0]), G=jnp.concatenate([-eye, eye]), h=jnp.ones(4))
    fails_with("not unique", lambda: icg.solve(flat))


def test_two_hundred_quadratic_programs_agree_with_scipy_on_what_exists_and_on_the_optimum():
    from scipy.optimize import linprog

    random = np.random.default_rng(0)
    B, n, e, m = 200, 6, 2, 7
    P = random.standard_normal((B, n, n))
    P = P @ P.transpose(0, 2, 1) * (np.arange(B) < 100)[:, None, None]  # the second half are linear programs
    q, A, b = (random.standard_normal((B, *shape)) for shape in ((n,), (e, n), (e,)))
    G, h = random.standard_normal((B, m, n)), random.standard_normal((B, m))
    solve = jax.jit(jax.vmap(lambda *data: icg.solve(icg.qp(*data), throw=False)))
    batch = solve(*map(jnp.asarray, (P, q, A, b, G, h)))
    expected = {0: icg.Status.converged, 2: icg.Status.infeasible, 3: icg.Status.unbounded}
    for i in range(B):
        linear = linprog(q[i] * (i >= 100), A_ub=G[i], b_ub=h[i], A_eq=A[i], b_eq=b[i], bounds=(None, None))
        status = jax.tree.map(lambda leaf, i=i: leaf[i], batch.status)
        assert bool(status == expected[linear.status]), (i, linear.status, icg.Status[status])
        if i >= 100 and linear.status == 0:
            assert float(q[i] @ batch.value[i]) == pytest.approx(linear.fun, abs=1e-8)
        if linear.status == 0:
            y, z = batch.dual[0][i], batch.dual[1][i]
            stationarity = P[i] @ batch.value[i] + q[i] + A[i].T @ y + G[i].T @ z
            # some of these are almost infeasible, with multipliers of size 1e6: errors are relative to them
            size = 1 + float(jnp.max(jnp.abs(z))) + float(jnp.max(jnp.abs(y)))
            assert np.abs(stationarity).max() < 1e-12 * size and z.min() >= 0
            assert np.abs(z * (h[i] - G[i] @ batch.value[i])).max() < 1e-12 * size


shift = 2.0
scales = np.array([1.0])


def offset():
    return shift * scales


def cubic(z):
    return z**3 - offset()


def test_what_a_function_reads_from_outside_is_read_anew(monkeypatch):
    def both():
        problem = icg.root(cubic)
        solution = icg.solve(problem, init=jnp.ones(1))
        return float(solution.value[0]) ** 3, icg.certify(problem, solution).min_singular_value

    for value in (2.0, 3.0):
        monkeypatch.setitem(globals(), "shift", value)
        cube, slope = both()
        np.testing.assert_allclose([cube, slope], [value, 3 * value ** (2 / 3)], rtol=1e-9)
    monkeypatch.setitem(globals(), "scales", np.array([1.0]))  # another array, of the same entries
    assert both() == (cube, slope)
    scales[0] = 4.0  # in place
    np.testing.assert_allclose(both()[0], 12.0, rtol=1e-9)


def test_a_function_is_the_same_while_what_it_reads_is_the_same():
    count, table = 1.0, {"a": [1.0, np.nan]}

    def function(z, power=2):
        return z**power + count + table["a"][0] + inner(z)

    def inner(z):
        return function(z) if z is None else count

    first = watching(function)
    assert first == watching(function) and hash(first) == hash(watching(function)) and first(1.0) == 4.0
    table["a"].append(2.0)
    assert first != watching(function)
    table["a"].pop()
    assert first == watching(function)
    count = 2.0
    assert first != watching(function)
    assert watching(np.sin) is np.sin
