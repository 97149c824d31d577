"""jaxopt, forward only: any of its solvers finds the point, and the derivative is ours."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree

from ...base import Status, needs
from ...core import AbstractProblem, AbstractSolver, Found
from .host import on_host
from .jaxopt_pieces import Pieces, arguments_of, pieces

ON_HOST = ("CvxpyQP", "Scipy")  # beginnings of the names of what jaxopt runs outside JAX
BOUNDED = ("LBFGSB", "ScipyBoundedMinimize", "ScipyBoundedLeastSquares")  # their `run` takes bounds first


class Jaxopt(AbstractSolver[AbstractProblem]):
    """A solver of jaxopt; build it with `icg.solvers.external.jaxopt`, which says what the fields are."""

    solver: Any = eqx.field(static=True)
    arguments: Callable[[Any], tuple[Any, ...]] | None = eqx.field(static=True, default=None)
    tolerance: float | None = eqx.field(static=True, default=None)
    options: tuple[tuple[str, Any], ...] = eqx.field(static=True, default=())

    def run(self, problem: AbstractProblem, init: Any) -> Found:
        """See `AbstractSolver.run`.

        Raises:
            TypeError: the problem has not what this solver works on.
        """
        dtype = ravel_pytree(init)[0].dtype
        eps = float(jnp.finfo(dtype).eps)
        # jaxopt mixes dtypes and ranks, which strict settings of JAX refuse
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            instance, parts = self._made_for(problem, init, eps)
            if type(instance).__name__.startswith(ON_HOST):

                def solve(both: tuple[Any, Any]) -> Any:
                    instance, parts = self._made_for(*both, eps)
                    return parts.read(instance.run(parts.start, *parts.arguments).params)

                z, state = on_host(solve, (problem, init), init), None
            else:
                params, state = instance.run(parts.start, *parts.arguments)
                z = _like(parts.read(params), init)
            residual, point = ravel_pytree(problem.residual(z))[0], ravel_pytree(z)[0]
            size = jnp.max(jnp.abs(residual), initial=0.0)
            tolerance = _tolerance(instance) or 0.0
            allowed = max(100 * tolerance, eps**0.75) if self.tolerance is None else self.tolerance
            close = size <= allowed * (1 + jnp.max(jnp.abs(point), initial=0.0))
            status = Status.where(close & _ended(instance, z, state), Status.converged, Status.not_converged)
            status = Status.where(jnp.isfinite(size), status, Status.diverged)
        return Found(z, _of_a_program(state, status), jnp.asarray(getattr(state, "iter_num", 0), jnp.int32))

    def _made_for(self, problem: AbstractProblem, init: Any, eps: float) -> tuple[Any, Pieces]:
        """An instance of jaxopt's for this problem, with what its `run` takes."""
        if not isinstance(self.solver, type):
            arguments = arguments_of(problem) if self.arguments is None else self.arguments(problem)
            return self.solver, Pieces({}, arguments, init, lambda params: params)
        if self.solver.__name__ in BOUNDED and self.arguments is None:
            raise TypeError(
                f"jaxopt's {self.solver.__name__} takes bounds before the arguments of the function: give "
                "`arguments=lambda problem: ((lower, upper), *problem.args)`. The equation to differentiate is that of "
                "the bounded problem: `icg.composite(smooth, icg.penalties.Box(lower, upper))`, or `icg.root` where no "
                "bound is met."
            )
        options, fields = dict(self.options), _fields(self.solver)
        parts = pieces(self.solver, problem, init, tuple(options))
        searches = {"fun", "prox", "projection"} & {*parts.functions, *options} or self.solver.__name__ == "OSQP"
        ours = {"tol": eps**0.5 if searches else eps**0.75, "maxiter": 10_000, "check_bracket": False}
        ours = {name: value for name, value in ours.items() if name in fields}
        if self.arguments is not None:
            parts = parts._replace(arguments=self.arguments(problem))
        return self.solver(**{**ours, **parts.functions, **options}), parts


def jaxopt(
    solver: Any,
    arguments: Callable[[Any], tuple[Any, ...]] | None = None,
    *,
    tolerance: float | None = None,
    **options: Any,
) -> Jaxopt:
    """Any solver of jaxopt, run forward only: its derivative is never used, `icg.solve` takes that from the equation.

    It works under `jit`, `vmap` and in both modes, also where jaxopt's own derivative does not. Three ways to choose:

    - the name or the class: it is set up for the problem. `FixedPointIteration`, `AndersonAcceleration`, `Bisection`,
      `Broyden`, `GaussNewton`, `LevenbergMarquardt`, `ScipyRootFinding` solve any equation; `ProximalGradient` and
      `ProjectedGradient` composite problems (`icg.lasso` and its kin, `icg.composite`); `OSQP`, `BoxOSQP`, `CvxpyQP`,
      `EqualityConstrainedQP` quadratic programs.
    - the same with `fun=f`, for `LBFGS`, `GradientDescent` and others that minimise `f(z, *args)`; the problem is
      `icg.root(jax.grad(f), *args)`.
    - an instance that you made: its `run` gets `init` and the arguments of the problem, or what `arguments` makes of
      the problem. With `icg.root(instance.optimality_fun, *args)` as the problem this is any solver as it stands.

    It is believed where its own state says that it ended within its tolerance, its residual is finite, and ours is
    small; infeasible and unbounded programs are told as such.

    Args:
        solver: a name, a class or an instance. Instances are compared by identity: make them once.
        arguments: from the problem to the arguments of `run` after `init`.
        tolerance: accept when `||F(z)||_inf <= tolerance (1 + ||z||_inf)`; `None` means 100 times its own tolerance,
            since jaxopt measures errors in other units.
        **options: further fields of the class. Unless they are given `maxiter` is 10000 and `tol` is `eps^{3/4}`, or
            `eps^{1/2}` for what minimises, since its line searches see no further; `icg.solvers.Polished` around it
            takes care of the rest.

    Returns:
        A solver for `icg.solve`.

    Raises:
        ImportError: jaxopt is not installed. ValueError: it has no solver of this name. TypeError: `solver` is none.

    Example:
        >>> import jax, jax.numpy as jnp, implicitcg as icg
        >>> bridge = icg.solvers.external.jaxopt("AndersonAcceleration")
        >>> equilibrium = lambda t: icg.solve(icg.fixed_point(lambda z, t: jnp.cos(z) * t, t), bridge, init=0.0).value
        >>> float(equilibrium(1.0).round(4)), float(jax.grad(equilibrium)(1.0).round(4))
        (0.7391, 0.4416)

    Source: Blondel et al., Efficient and modular implicit differentiation, NeurIPS 2022.
    """
    library = _load()
    if isinstance(solver, str):
        found = getattr(library, solver, None)
        if not _is_solver(found):
            raise ValueError(f"jaxopt has no solver {solver!r}; names are those of its classes, such as 'LBFGS'.")
        solver = found
    kind = solver if isinstance(solver, type) else type(solver)
    if not _is_solver(kind):
        raise TypeError(f"`solver` must be a solver of jaxopt, by name, class or instance, and is a {kind.__name__}.")
    if options and not isinstance(solver, type):
        raise TypeError(f"Options ({', '.join(options)}) are for a class; an instance has its own already.")
    unknown = set(options) - _fields(kind)
    if unknown:
        raise TypeError(f"jaxopt's {kind.__name__} has no option {', '.join(sorted(unknown))}.")
    return Jaxopt(solver, arguments, tolerance, tuple(sorted(options.items())))


def _is_solver(kind: Any) -> bool:
    return isinstance(kind, type) and kind.__module__.startswith("jaxopt.") and hasattr(kind, "run")


def _fields(kind: Any) -> set[str]:
    """The options of a class: those of `BoxOSQP` too for `OSQP`, which hands them on."""
    names = set(inspect.signature(kind).parameters)
    return names | set(inspect.signature(_load().BoxOSQP).parameters) if kind.__name__ == "OSQP" else names


def _tolerance(instance: Any) -> float | None:
    return getattr(getattr(instance, "_box_osqp", instance), "tol", None)


def _load() -> Any:
    """jaxopt, whose import warns that it is no longer maintained."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return needs("jaxopt", "jaxopt", "icg.solvers.external.jaxopt")


def _ended(instance: Any, params: Any, state: Any) -> Array:
    """Whether the solver's own state says that it reached its tolerance; where it keeps none there is no objection.

    A NaN is no success, though jaxopt's loops end at one.
    """
    error, tolerance = getattr(state, "error", None), _tolerance(instance)
    if getattr(instance, "stop_criterion", None) == "madsen-nielsen":  # Levenberg-Marquardt has two tests of its own
        return ~instance._cond_fun(((params, state),))
    if error is None or tolerance is None:
        return jnp.asarray(True)
    return jnp.all(jnp.asarray(error) <= tolerance)


def _of_a_program(state: Any, status: Status) -> Status:
    """OSQP proves some programs infeasible (3), and the dual of others (2), which are unbounded."""
    code = getattr(state, "status", None)
    if code is None:
        return status
    status = Status.where(jnp.asarray(code) == 3, Status.infeasible, status)
    return Status.where(jnp.asarray(code) == 2, Status.unbounded, status)


def _like(params: Any, init: Any) -> Any:
    return jax.tree.map(lambda leaf, like: jnp.asarray(leaf, like.dtype).reshape(like.shape), params, init)
