"""What a layer asks of a CVXPY problem, with errors that name the culprit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..base import needs

if TYPE_CHECKING:
    import cvxpy


def require_cvxpy() -> Any:
    """The module CVXPY, or advice on how to get it."""
    return needs("cvxpy", "cvxpy", "icg.CvxpyLayer")


def validate(
    problem: cvxpy.Problem, parameters: Sequence[cvxpy.Parameter], variables: Sequence[cvxpy.Variable], gp: bool
) -> None:
    """Raise `TypeError` or `ValueError` unless the problem can be a layer with these parameters and variables."""
    cp = require_cvxpy()
    if not isinstance(problem, cp.Problem):
        raise TypeError(f"`problem` must be a cvxpy.Problem, and is a {type(problem).__name__}.")
    _listed(parameters, cp.Parameter, "parameters")
    _listed(variables, cp.Variable, "variables")
    if not variables:
        raise ValueError("`variables` is empty: name at least one variable whose optimal value the layer returns.")
    _exactly_those(problem, parameters)
    _known(problem, variables)
    if problem.is_mixed_integer():
        discrete = [v.name() for v in problem.variables() if v.attributes["boolean"] or v.attributes["integer"]]
        raise ValueError(
            f"The problem is not convex: {_names(discrete)} takes integer values, and a solution that jumps has no "
            "derivative. Relax it to an interval."
        )
    _disciplined(problem, gp)


def _listed(given: Any, kind: type, name: str) -> None:
    if not isinstance(given, (list, tuple)):
        raise ValueError(f"`{name}` must be a list or tuple of cvxpy.{kind.__name__}, and is a {type(given).__name__}.")
    for position, item in enumerate(given):
        if not isinstance(item, kind):
            raise TypeError(f"`{name}[{position}]` is a {type(item).__name__}; a cvxpy.{kind.__name__} is needed.")
    seen = set()
    for item in given:
        if item.id in seen and name == "parameters":
            raise ValueError(f"The parameter {item.name()!r} stands twice in `parameters`.")
        seen.add(item.id)


def _exactly_those(problem: cvxpy.Problem, parameters: Sequence[cvxpy.Parameter]) -> None:
    used, given = {p.id: p.name() for p in problem.parameters()}, {p.id: p.name() for p in parameters}
    missing = [name for identity, name in used.items() if identity not in given]
    unused = [name for identity, name in given.items() if identity not in used]
    if missing:
        raise ValueError(
            f"`parameters` lacks {_names(missing)}, which the problem depends on. List every parameter of the problem; "
            "one that never changes should be a `cp.Constant`."
        )
    if unused:
        raise ValueError(
            f"`parameters` has {_names(unused)}, which the problem does not use. Take it out of the list, or check the "
            "problem: its derivative would always be zero."
        )


def _known(problem: cvxpy.Problem, variables: Sequence[cvxpy.Variable]) -> None:
    known = {v.id for v in problem.variables()}
    known |= {dual.id for constraint in problem.constraints for dual in constraint.dual_variables}
    strangers = [variable.name() for variable in variables if variable.id not in known]
    if strangers:
        raise ValueError(
            f"`variables` has {_names(strangers)}, which is neither a variable of the problem nor one of the "
            "`dual_variables` of its constraints."
        )


def _disciplined(problem: cvxpy.Problem, gp: bool) -> None:
    """DPP by the rules for quadratic objectives: the matrix of a quadratic form in the objective may be a parameter."""
    from cvxpy.utilities import scopes

    is_dpp: Any = problem.is_dpp
    if is_dpp("dgp") if gp else is_dpp(quad_form_dpp="qp"):
        return
    convex, rules = ("geometric (DGP)", "is_dgp") if gp else ("convex (DCP)", "is_dcp")
    if not getattr(problem, rules)():
        culprits = _culprits(problem, lambda part: getattr(part, rules)())
        raise ValueError(
            f"The problem is not {convex}, by the rules of CVXPY, in {culprits}. See `problem.{rules}()`"
            + ("; is it a geometric program (`gp=True`)?" if not gp and problem.is_dgp() else ".")
        )

    def parametrised(part: Any) -> bool:
        if part is problem.objective and not gp:
            with scopes.quad_form_dpp_scope():
                return part.is_dcp(dpp=True)
        return getattr(part, rules)(dpp=True)

    raise ValueError(
        f"The problem is not disciplined in its parameters (DPP) in {_culprits(problem, parametrised)}: its data are "
        "not affine in them. Products of parameters, and parameters inside nonlinear atoms, are the usual cause; make "
        "the product or the function of them a parameter of its own, and compute it in JAX before the call."
    )


def _culprits(problem: cvxpy.Problem, passes: Any) -> str:
    parts = [("the objective", problem.objective)]
    parts += [(f"constraint {number}", constraint) for number, constraint in enumerate(problem.constraints)]
    wrong = [f"{name}, `{part}`" for name, part in parts if not passes(part)]
    return "; ".join(wrong) or "the problem as a whole"


def _names(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names)
