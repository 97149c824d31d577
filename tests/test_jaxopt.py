"""The bridge to jaxopt: its solvers find the point, the derivative is that of the equation, its state is the status."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import implicitcg as icg
from implicitcg.penalties import LeastSquares, Simplex
from implicitcg.solvers.external import jaxopt
from implicitcg.solvers.external.jaxopt_solver import _of_a_program

pytestmark = pytest.mark.filterwarnings("ignore:JAXopt is no longer maintained:DeprecationWarning")

rng = np.random.default_rng(0)
W = rng.standard_normal((4, 4))
W = jnp.asarray(0.5 * W / np.linalg.norm(W, 2))
X = jnp.asarray(rng.standard_normal((20, 5)))
y = X[:, 0] - X[:, 1]
SHIFT = jnp.asarray(rng.standard_normal(4))
TARGET = jnp.asarray([1.0, -2.0, 0.5])


def quartic(z, t):
    return jnp.sum((z - t) ** 2) + 0.1 * jnp.sum(z**4)


def program(q):
    return icg.qp(2 * jnp.eye(3), q, jnp.ones((1, 3)), jnp.ones(1), -jnp.eye(3), jnp.zeros(3))


def equalities(q):
    return icg.qp(2 * jnp.eye(3), q, jnp.ones((1, 3)), jnp.ones(1))


PROBLEMS = {
    "layer": (lambda b: icg.fixed_point(lambda z, b: jax.nn.relu(W @ z + b), b), SHIFT, jnp.zeros(4)),
    "cubic": (lambda t: icg.root(lambda z, t: z**3 + z - t, t), jnp.asarray(2.0), jnp.asarray(0.5)),
    "minimum": (lambda t: icg.root(jax.grad(quartic), t), TARGET, jnp.ones(3)),
    "lasso": (lambda a: icg.lasso(X, y, a), jnp.asarray(0.1), None),
    "simplex": (lambda c: icg.composite(LeastSquares(X, y), Simplex(c)), jnp.asarray(0.5), None),
    "program": (program, jnp.asarray([0.3, -1.0, 2.0]), None),
    "equalities": (equalities, jnp.asarray([0.3, -1.0, 2.0]), None),
}
ROWS = [
    ("layer", "FixedPointIteration", {}),
    ("layer", "AndersonAcceleration", {}),
    ("layer", "Broyden", {}),
    ("layer", "GaussNewton", {}),
    ("layer", "LevenbergMarquardt", {}),
    ("cubic", "Bisection", {"lower": 0.0, "upper": 3.0}),
    ("cubic", "ScipyRootFinding", {"method": "hybr"}),
    ("minimum", "LBFGS", {"fun": quartic}),
    ("minimum", "GradientDescent", {"fun": quartic}),
    ("lasso", "ProximalGradient", {}),
    ("simplex", "ProjectedGradient", {}),
    ("program", "OSQP", {"eq_qp_solve": "lu"}),
    ("equalities", "EqualityConstrainedQP", {"tol": 1e-10}),
]


@pytest.mark.parametrize(("name", "solver", "options"), ROWS, ids=lambda x: x if isinstance(x, str) else "")
def test_a_solver_of_jaxopt_finds_the_point_and_the_derivative_is_that_of_the_equation(name, solver, options):
    make, theta, init = PROBLEMS[name]
    bridge = jaxopt(solver, **options)

    @jax.jit
    def both(theta):
        def value(theta, solver=None):
            return icg.solve(make(theta), solver, init=init).value

        there = jax.jacrev(lambda theta: (value(theta, bridge),) * 2, has_aux=True)(theta)
        return there, jax.jacrev(lambda theta: (value(theta),) * 2, has_aux=True)(theta)

    (slope, found), (right, expected) = both(theta)
    # its tolerance is eps^{1/2} = 1.5e-8 in units of its own
    np.testing.assert_allclose(found, expected, atol=1e-7)
    np.testing.assert_allclose(slope, right, atol=1e-7)


def test_batches_and_both_modes_go_through_the_bridge():
    bridge = jaxopt("FixedPointIteration", tol=1e-12)
    make, shift, init = PROBLEMS["layer"]

    def value(b):
        return icg.solve(make(b), bridge, init=init).value

    shifts = jnp.stack([shift, -shift])
    forward, reverse = (jax.jit(jax.vmap(mode(value)))(shifts) for mode in (jax.jacfwd, jax.jacrev))
    np.testing.assert_allclose(forward, reverse, atol=1e-14)
    np.testing.assert_allclose(forward[1], jax.jacfwd(lambda b: icg.solve(make(b)).value)(-shift), atol=1e-12)


def test_an_instance_runs_on_the_equation_that_it_brings_and_is_taken_as_it_stands():
    import jaxopt as library

    instance = library.ProximalGradient(lambda w, data: jnp.mean((data @ w - y) ** 2) / 2, library.prox.prox_lasso)

    def value(alpha):
        problem = icg.root(instance.optimality_fun, alpha, X)
        return icg.solve(problem, jaxopt(instance), init=jnp.zeros(5)).value

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # its own functions need them
        slope = jax.jacrev(value)(jnp.asarray(0.1))
    # the derivative depends on the support and the signs, which its tolerance of 1e-3 tells already
    np.testing.assert_allclose(slope, jax.jacrev(lambda a: icg.solve(icg.lasso(X, y, a)).value)(0.1), atol=1e-8)


def test_how_it_ended_is_told_by_its_state_and_by_our_residual():
    make, shift, init = PROBLEMS["layer"]

    def status(problem, solver, init=init):
        return icg.Status[icg.solve(problem, solver, init=init, throw=False).status]

    assert status(make(shift), jaxopt("FixedPointIteration", maxiter=2)) == icg.Status[icg.Status.not_converged]
    growing = icg.fixed_point(lambda z, b: z**2 + 2 + b, shift)
    assert status(growing, jaxopt("FixedPointIteration")) == icg.Status[icg.Status.diverged]
    # another function than that of the problem: its state is content, our equation is not
    other = jaxopt("LBFGS", fun=lambda z, t: jnp.sum((z - t - 1) ** 2))
    make, target, init = PROBLEMS["minimum"]
    assert status(make(target), other, init) == icg.Status[icg.Status.not_converged]


def test_a_program_without_a_solution_is_never_called_solved():
    none = icg.qp(jnp.eye(1), jnp.zeros(1), G=jnp.asarray([[1.0], [-1.0]]), h=jnp.asarray([-1.0, -1.0]))
    assert not bool(icg.solve(none, jaxopt("OSQP", eq_qp_solve="lu"), throw=False).converged)


def test_what_osqp_says_of_a_program_is_the_status():
    import jaxopt as library

    codes = {
        library.BoxOSQP.PRIMAL_INFEASIBLE: icg.Status.infeasible,
        library.BoxOSQP.DUAL_INFEASIBLE: icg.Status.unbounded,
    }
    for code, status in codes.items():
        state = library.BoxOSQP.init_state.__globals__["BoxOSQPState"](3, 1.0, code, None, None, None, None)
        assert bool(_of_a_program(state, icg.Status.not_converged) == status)


@pytest.mark.parametrize(
    ("error", "match", "make"),
    [
        (ValueError, "no solver 'Simplex'", lambda: jaxopt("Simplex")),
        (TypeError, "must be a solver of jaxopt", lambda: jaxopt(dict)),
        (TypeError, "no option stepsiz", lambda: jaxopt("GradientDescent", stepsiz=1.0)),
        (TypeError, "minimises a function", lambda: icg.solve(PROBLEMS["layer"][0](SHIFT), jaxopt("LBFGS"))),
        (
            TypeError,
            "LBFGSB takes bounds",
            lambda: icg.solve(PROBLEMS["minimum"][0](TARGET), jaxopt("LBFGSB", fun=quartic)),
        ),
        (TypeError, "a composite problem", lambda: icg.solve(PROBLEMS["layer"][0](SHIFT), jaxopt("ProximalGradient"))),
        (TypeError, "a set as its penalty", lambda: icg.solve(icg.lasso(X, y, 0.1), jaxopt("ProjectedGradient"))),
        (TypeError, "no such problem", lambda: icg.solve(icg.lasso(X, y, 0.1), jaxopt("OSQP"))),
        (TypeError, "takes no inequalities", lambda: icg.solve(program(TARGET), jaxopt("EqualityConstrainedQP"))),
    ],
)
def test_what_does_not_fit_is_refused_with_advice(error, match, make):
    with pytest.raises(error, match=match):
        make()


def test_a_missing_jaxopt_is_named_with_the_way_to_install_it(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "jaxopt", None)
    with pytest.raises(ImportError, match=r"implicitcg\[jaxopt\]"):
        jaxopt("LBFGS")
