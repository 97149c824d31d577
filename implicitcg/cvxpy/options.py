"""The solver of a layer and its options, under the names that CVXPY, cvxpylayers and diffcp have for them."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

from ..core import AbstractSolver
from ..solvers import external

# Names of cvxpylayers for a solver together with its derivative: here the derivative is always ours.
_DEFAULT = ("DIFFCP", "CUCLARABEL", "MPAX", "ECOS")
# Options of diffcp that concern its derivative or its threads; nothing here corresponds to them.
_WITHOUT_MEANING = {
    "mode": "the derivative is a direct solve",
    "n_jobs_forward": "a batch uses all cores",
    "n_jobs_backward": "a batch uses all cores",
    "warm_starts": "interior point methods start cold",
    "raise_on_error": "`throw=False` at the call says so",
    "use_quad_obj": "quadratic objectives always stay quadratic",
}
_TOLERANCES = ("tolerance", "eps")
_STEPS = ("max_steps", "max_iters", "max_iter")


def forward_solver(solver: str | AbstractSolver | None, arguments: dict[str, Any]) -> AbstractSolver | None:
    """The solver that `solver` and `solver_args` mean; `None` for the default with its default options.

    `eps` and `tolerance` set all tolerances, `max_iters`, `max_iter` and `max_steps` the limit of iterations, and
    `solve_method` names the solver. Every other option goes to the solver as it is.

    Raises:
        ValueError: a solver that is not known. TypeError: an option that the solver does not have.
    """
    arguments = dict(arguments)
    method = arguments.pop("solve_method", None)
    solver = _named(method if isinstance(method, str) else solver)
    for name, reason in _WITHOUT_MEANING.items():
        if arguments.pop(name, None) is not None:
            warnings.warn(f"The option {name!r} of the solver has no effect here: {reason}.", stacklevel=4)
    if not arguments:
        return solver
    solver = external.Clarabel() if solver is None else solver
    known = {field.name for field in dataclasses.fields(solver)}
    fields: dict[str, Any] = {}
    for names, field in ((_TOLERANCES, "tolerance"), (_STEPS, "max_steps")):
        given = [arguments.pop(name) for name in names if name in arguments]
        if given:
            fields[field] = given[-1]
    if arguments:
        fields["options"] = (*getattr(solver, "options", ()), *arguments.items())
    foreign = sorted(set(fields) - known)
    if foreign:
        raise TypeError(
            f"{type(solver).__name__} takes no {', '.join(map(repr, arguments or foreign))}. Its options are "
            f"{', '.join(sorted(known))}; set them where it is made."
        )
    _require_settings(solver, arguments)
    return dataclasses.replace(solver, **fields)


def _named(solver: str | AbstractSolver | None) -> AbstractSolver | None:
    if solver is None or isinstance(solver, AbstractSolver):
        return solver
    if not isinstance(solver, str):
        raise TypeError(
            f"`solver` must be the name of a solver or one of icg.solvers, and is a {type(solver).__name__}. "
            "The solver objects of cvxpylayers bring a derivative of their own, which is not used here: give the name "
            "of the solver, or wrap what finds the solution as icg.solvers.external.HostSolver."
        )
    if solver.upper() in _DEFAULT:
        return None
    for kind in (external.Clarabel, external.Moreau, external.SCS):
        if kind.__name__.upper() == solver.upper():
            return kind()
    raise ValueError(
        f"There is no solver {solver!r}. Leave `solver` out for Clarabel, or give one of icg.solvers.external; any "
        "other can be wrapped as icg.solvers.external.HostSolver."
    )


def _require_settings(solver: AbstractSolver, arguments: dict[str, Any]) -> None:
    if isinstance(solver, external.Clarabel):
        settings = solver.load().DefaultSettings()
    elif isinstance(solver, external.Moreau):
        settings = solver.load().Settings()
    else:
        return
    library = type(solver).__name__
    for name, value in arguments.items():
        if not hasattr(settings, name):
            raise TypeError(f"{library} has no setting {name!r}. See `{type(settings).__name__}()` for those it has.")
        try:
            setattr(settings, name, value)
        except TypeError as error:
            raise TypeError(f"{library}'s setting {name!r} cannot be {value!r}: {error}.") from None
