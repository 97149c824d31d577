"""How a solve ended: an enumeration whose texts are advice."""

from __future__ import annotations

import equinox.internal as eqxi
import numpy as np
from jaxtyping import Array, Int


class Status(eqxi.Enumeration):  # pyright: ignore
    """How a solve ended.

    A status travels through `jit` and `vmap` as a small integer array; `Status[status]` is its text, and comparing
    two statuses gives a boolean array. The order is the order of severity: under `vmap` the gravest one is reported.
    """

    converged = "The solver converged."
    not_converged = (
        "The solver reached its step limit before its tolerance. The value is the best point found, not a solution, "
        "so its derivative means nothing. Try a larger `max_steps`, a looser `tolerance`, float64 "
        "(`jax.config.update('jax_enable_x64', True)`), a nearer start (`init`), or better scaled data (for a design "
        "matrix: columns of similar norms)."
    )
    diverged = (
        "The iteration diverged or produced non-finite numbers. Try a damped solver, another starting point (`init`), "
        "or check that the map has a fixed point at all."
    )
    over_capacity = (
        "More coordinates are active at the solution than the solver has room for. Raise `capacity` on the solver, "
        "or increase the penalty."
    )
    not_unique = (
        "The solution is not unique: the objective is flat along a direction that penalty and constraints leave free "
        "(a LASSO with alpha = 0 and collinear columns or more features than samples; a quadratic program with "
        "singular P). A derivative of 'the' solution does not exist. Use a positive penalty, drop collinear columns, "
        "or add a small ridge."
    )
    not_attained = (
        "The minimum is not attained: the objective falls for ever towards its infimum, so there is no solution (a "
        "logistic model whose classes are perfectly separated by unpenalised coordinates, as with alpha = 0). Use a "
        "positive penalty."
    )
    singular = (
        "The derivative was refused: the linear system of the implicit function theorem is singular here, for at "
        "least one element of the conservative Jacobian (for a LASSO: linearly dependent columns in the "
        "equicorrelation set, such as duplicates). `icg.certify(problem, solution)` explains it. Remove the "
        "dependence, add a ridge term, or ask for a least-squares answer, which carries no guarantee, with "
        "`adjoint=icg.adjoints.MinimumNorm()`."
    )
    adjoint_failed = (
        "The linear solve of the derivative did not reach its tolerance. Raise `max_steps` of the adjoint, use a "
        "direct adjoint (`icg.adjoints.Direct()`), or check the conditioning with `icg.certify`."
    )
    infeasible = (
        "The problem is infeasible: no point satisfies its constraints, so there is nothing to differentiate. Check "
        "the bounds and the signs of the constraints."
    )
    unbounded = (
        "The problem is unbounded below: its objective decreases for ever along a feasible direction. Check the sign "
        "of the objective, or add bounds."
    )
    non_finite_input = (
        "The problem's data contain NaN or infinite entries. Find them with `jnp.isfinite(...)`; drop or impute the "
        "rows concerned before solving."
    )
    invalid_input = (
        "The problem's data are outside their domain: a penalty (alpha) or a weight is negative, a label is neither -1 "
        "nor 1, or a shape parameter (gamma, a) is too small. Tune the logarithm of a penalty to stay positive: "
        "`alpha = jnp.exp(theta)`."
    )
    too_many_steps = (
        "The flow took `max_steps` steps before its end. Loosen `rtol` and `atol`, raise `max_steps`, or take an "
        "implicit method if the equation is stiff: `solver=diffrax.Kvaerno5()`."
    )
    step_vanished = (
        "The step size fell to the rounding of time: the solution blows up, the field is not Lipschitz (a square root "
        "at zero) or not finite, or a jump of the field was not seen. `icg.kinks(field, t, y, args)` names what is not "
        "smooth. Tolerances near the rounding of the dtype end here too: loosen them, or use float64."
    )
    too_many_crossings = (
        "The flow met more kinks and events than `max_crossings`. If they accumulate (a ball that comes to rest, "
        "Zeno's paradox), end the flow there with a terminal event or change the model to rest; otherwise raise "
        "`max_crossings`."
    )
    discontinuous = (
        "The field jumps where the flow crosses one of its comparisons or steps, which the derivative of a flow of a "
        "continuous field does not know. Declare the surface, `events=[icg.flow.Event(guard)]`, or pass "
        "`allow_jumps=True`: the sensitivity then jumps as it must. `solution.crossings` names the line."
    )
    sliding = (
        "The field points back to the surface of a jump from both of its sides: the flow slides along it or sticks to "
        "it, and no branch of the program continues it. Model the mode on the surface: stop there with "
        "`icg.flow.Event(guard, terminal=True)` and go on with its own field, or keep a mode in the state that a reset "
        "changes."
    )
    times_not_increasing = (
        "The times of a flow must increase strictly and be finite. Sort them; to go back in time solve "
        "`y' = -f(-t, y)`, or start from the other end."
    )


def code_of(status: Status) -> Int[Array | np.ndarray, "*batch"]:
    """The number of a status, zero for `converged` and higher the graver: what a mapped solve returns an array of."""
    return status._value
