"""`solve`: a flow of a nonsmooth field, and the `Flow` that it returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.flatten_util import ravel_pytree
from jaxtyping import ArrayLike, Float, PyTree

from ..base import Status, close_over, raise_unless_converged, translated_errors, worst
from ..base.checks import floating
from ..base.tracing import concretely
from .event import Event
from .field import Field
from .method import stepper
from .replay import Follower, Replayed
from .search import Options, follow_flow
from .solution import Flow


def solve(
    field: Callable[..., PyTree],
    y0: PyTree,
    args: PyTree,
    ts: Float[ArrayLike, " m"] | Sequence[Any],
    *,
    events: Sequence[Event] = (),
    solver: Any = None,
    rtol: float | None = None,
    atol: float | None = None,
    first_step: float | None = None,
    max_steps: int = 1024,
    max_crossings: int = 64,
    allow_jumps: bool = False,
    sensitivity: bool = False,
    throw: bool = True,
) -> Flow:
    """Solve `y' = field(t, y, args)`, `y(ts[0]) = y0`, for a field with kinks, with derivatives as accurate as `y`.

    The kinks of the field's program (`max`, `abs`, `relu`, comparisons that feed `where`, ...) are found in it, and
    their switching functions are watched. Between kinks a method of diffrax takes adaptive steps on one smooth branch;
    where a switching function changes its sign the crossing is located and stepped onto, and the next branch is
    entered. The derivative is that of these steps: for a locally Lipschitz field an element of the conservative
    Jacobian of the flow, `M(T)` with `M' = J M`, `J in J_f(y(t))`, `M(0) = I`.

    Args:
        field: `(t, y, args) -> dy/dt`, as in diffrax; arrays that it closes over are differentiated too.
        y0: the start, a pytree of floating-point arrays.
        args: a pytree of parameters, or `None`.
        ts: the times of the values wanted, increasing; `ts[0]` is that of `y0`, the flow ends at `ts[-1]`.
        events: surfaces on which the state or the field jumps; see `icg.flow.Event`.
        solver: a Runge-Kutta method of diffrax: `diffrax.Tsit5()` by default, `diffrax.Kvaerno5()` for stiff fields.
        rtol: the error of a step is kept below `atol + rtol |y|`, root mean square; 1e-6 by default, 1e-4 in float32.
        atol: the absolute part of it; 1e-9 by default, 1e-6 in float32.
        first_step: the step size to begin with.
        max_steps: accepted steps at most; the memory of reverse mode grows with it.
        max_crossings: crossings of kinks and events at most.
        allow_jumps: whether a field that jumps at a crossing is followed to the other side also where no event is
            declared. The sensitivity jumps there.
        sensitivity: whether steps are chosen for the variational equation too, in one direction: for twice the price of
            a step the derivative meets the tolerance also where the state hardly moves while its derivative grows.
        throw: whether failures raise, also inside `jit`; otherwise `status` tells, and values not reached are NaN.

    Returns:
        A `Flow`. It works inside `jit`, `vmap`, `grad`, `jvp`, `jacfwd`, `jacrev` and `hessian`, in any nesting, and
        is differentiable in `y0`, `args`, `ts` and what `field`, guards and resets close over.

    Raises:
        SolveError: too many steps or crossings, a step size that vanishes, an undeclared jump, sliding.
        ValueError, TypeError: times that do not increase, a field that changes the shape of the state, integers in it.

    Example:
        >>> import jax, jax.numpy as jnp, implicitcg as icg
        >>> field = lambda t, y, args: jnp.stack([jnp.ones_like(t), jax.nn.relu(y[0]) * y[1]])
        >>> end = lambda y0: icg.flow.solve(field, y0, None, (0.0, 2.0)).value[-1]
        >>> print(jax.jacobian(end)(jnp.array([-1.0, 1.0])).round(3))  # e^{1/2} = 1.649
        [[1.    0.   ]
         [1.649 1.649]]

    Source: Marx, Pauwels, Path differentiability of ODE flows, 2022.
    """
    if not callable(field):
        raise TypeError(f"field must be a function (t, y, args) and is a {type(field).__name__}.")
    y0, dtype = _state(y0)
    times = _times(ts, dtype)
    args = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype) if isinstance(leaf, float) else leaf, args)
    _same_shapes(field, times[0], y0, args)
    events = _events(events, times[0], y0, args)
    for name, number in (("max_steps", max_steps), ("max_crossings", max_crossings)):
        if not isinstance(number, int) or number < 1:
            raise ValueError(f"{name} is {number!r}; give an integer of at least 1.")
    single = float(jnp.finfo(dtype).eps) > 1e-10
    rtol = (1e-4 if single else 1e-6) if rtol is None else rtol
    atol = (1e-6 if single else 1e-9) if atol is None else atol
    for name, value in (("rtol", rtol), ("atol", atol), ("first_step", first_step)):
        if value is not None and not (isinstance(value, float | int) and 0 < value < float("inf")):
            raise ValueError(f"{name} is {value!r}; give a positive number.")
    field = close_over(field, times[0], y0, args)
    with translated_errors():
        flow = _solve(
            field,
            y0,
            args,
            times,
            events,
            solver,
            rtol,
            atol,
            first_step,
            max_steps,
            max_crossings,
            allow_jumps,
            sensitivity,
        )
    if not throw:
        return flow
    states, value, crossing_times = raise_unless_converged((flow.states, flow.value, flow.crossing_times), flow.status)
    return eqx.tree_at(lambda f: (f.states, f.value, f.crossing_times), flow, (states, value, crossing_times))


@eqx.filter_jit
def _solve(
    function: Any,
    y0: Any,
    args: Any,
    ts: Array,
    events: tuple[Event, ...],
    solver: Any,
    rtol: float,
    atol: float,
    first_step: float | None,
    max_steps: int,
    max_crossings: int,
    allow_jumps: bool,
    sensitivity: bool,
) -> Flow:
    flat, unravel = ravel_pytree(y0)
    field = Field(function, ts[0], y0, args, events)
    step, order = stepper(solver, rtol, atol)
    tolerances = (jnp.asarray(rtol, flat.dtype), jnp.asarray(atol, flat.dtype))
    first = None if first_step is None else jnp.asarray(first_step, flat.dtype)
    options = Options(*tolerances, first, order, max_steps, max_crossings, allow_jumps, sensitivity)
    still = lax.stop_gradient((ts[0], ts[-1], flat, field.parameters))
    record, status, closest, stopped = follow_flow(field, step, options, *still)
    record, closest = lax.stop_gradient((record, closest))
    status = worst(Status.where((jnp.diff(ts) > 0).all(), Status.converged, Status.times_not_increasing), status)
    follower = Follower(field, step)
    path: Replayed = follower.path(ts, flat, field.parameters, record)
    return Flow(
        ts=ts,
        value=jax.vmap(unravel)(path.values),
        status=status,
        states=path.states,
        crossing_times=path.crossing_times,
        parameters=field.parameters,
        record=record,
        closest=closest,
        stopped=stopped,
        tolerances=tolerances,
        follower=follower,
    )


def _state(y0: Any) -> tuple[Any, Any]:
    leaves = jax.tree.leaves(y0)
    if not leaves:
        raise TypeError("y0 holds no array: there is no state to move.")
    for leaf in leaves:
        kind = leaf.dtype if hasattr(leaf, "dtype") else np.result_type(leaf)
        if not jnp.issubdtype(kind, jnp.floating) and not jnp.issubdtype(kind, jnp.complexfloating):
            raise TypeError(
                f"y0 holds {kind} entries, which cannot move along a flow nor be differentiated. Write numbers as "
                "floats, 1.0 for 1, and pass counters and labels through `args`."
            )
    dtype = jnp.result_type(*leaves)
    return jax.tree.map(lambda leaf: floating(leaf, "y0", dtype), y0), dtype


def _times(ts: Any, dtype: Any) -> Array:
    if isinstance(ts, tuple | list):
        ts = jnp.stack([floating(t, "ts", dtype) for t in ts]) if ts else jnp.zeros(0, dtype)
    times = floating(ts, "ts", dtype)
    if times.ndim != 1 or times.shape[0] < 2:
        raise ValueError(
            f"ts has shape {times.shape}; a vector of at least two times is needed: that of y0 first, the end last."
        )
    if concretely(lambda t: bool(np.isfinite(t).all() and (np.diff(t) > 0).all()), times) is False:
        raise ValueError(f"ts is {np.asarray(lax.stop_gradient(times))}. {Status[Status.times_not_increasing]}")
    return times


def _same_shapes(function: Any, t: Array, y0: Any, args: Any, name: str = "field") -> None:
    image = eqx.filter_eval_shape(lambda *a: jax.tree.map(jnp.asarray, function(*a)), t, y0, args)
    got, wanted = (jax.tree.map(lambda leaf: tuple(leaf.shape), tree) for tree in (image, y0))
    if jax.tree.structure(image) != jax.tree.structure(y0) or got != wanted:
        raise ValueError(
            f"the {name} maps a state of shapes {wanted} to {got}; it must return one number for each of the state's, "
            "in the same structure. Correct its last line, or y0."
        )


def _events(events: Any, t: Array, y0: Any, args: Any) -> tuple[Event, ...]:
    events = (events,) if isinstance(events, Event) else tuple(events)
    for event in events:
        if not isinstance(event, Event):
            raise TypeError(f"events holds a {type(event).__name__}; give icg.flow.Event(guard, reset).")
        shape = eqx.filter_eval_shape(lambda t, y, args, e=event: jnp.asarray(e.guard(t, y, args)), t, y0, args).shape
        if shape != ():
            raise ValueError(
                f"a guard returns an array of shape {shape}; one number is needed. Give one Event for each."
            )
        if event.reset is not None:
            _same_shapes(event.reset, t, y0, args, "reset")
    return tuple(
        Event(
            close_over(e.guard, t, y0, args),
            None if e.reset is None else close_over(e.reset, t, y0, args),
            e.direction,
            e.terminal,
        )
        for e in events
    )
