"""The forward pass: adaptive steps on smooth pieces, with every crossing located and stepped onto."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from ..base import Status, anywhere, only_where, while_loop, worst
from .crossing import Beyond, enter, instant, settle
from .field import Field, View
from .locate import Hunt, begin, closest_crossing, hermite, refine
from .method import Stepper, scaled_norm
from .record import Record, empty, put

LEAST, MOST, SAFETY = 0.2, 10.0, 0.9  # factors between steps, as is usual


class Options(eqx.Module):
    """How a flow is followed; see `solve`."""

    rtol: Array
    atol: Array
    first_step: Array | None
    order: int = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    max_crossings: int = eqx.field(static=True)
    allow_jumps: bool = eqx.field(static=True)
    sensitivity: bool = eqx.field(static=True)


class State(NamedTuple):
    """What is carried from one attempt to the next."""

    t: Array
    y: Array
    v: Array  # a tangent, if the steps are to suit the sensitivity too
    h: Array
    branches: Array
    view: View
    hunt: Hunt
    active: Array
    stopped: Array
    closest: Array
    status: Any
    record: Record


def follow_flow(
    field: Field, step: Stepper, options: Options, start: Array, end: Array, y: Array, parameters: Any
) -> tuple[Record, Any, Array, Array]:
    """`(record, status, closest, stopped)`: the flow from `start` to `end`, or to a terminal event.

    `closest` is, for every switching function, the least of `|margin| + 1e-3 span |rate|` along the flow: small only
    where a surface is touched without being crossed.
    """
    span = end - start
    branches = field.own(start, y, parameters)
    branches, view, stuck = settle(field, start, y, parameters, branches, instant(start, span))
    record = empty(field, start, y, options.max_steps, options.max_crossings)
    firsts = (record.branches.at[0].set(branches), record.others.at[0].set(view.other))
    record = eqx.tree_at(lambda r: (r.branches, r.others), record, firsts)
    finite = jnp.isfinite(y).all() & jnp.isfinite(view.f).all() & jnp.isfinite(start) & jnp.isfinite(end)
    status = Status.where(stuck, Status.sliding, Status.converged)
    status = worst(status, Status.where(finite, Status.converged, Status.non_finite_input))
    h = jnp.minimum(_first(options, view.f, y, span) if options.first_step is None else options.first_step, span)
    none = jnp.full(field.count, jnp.inf, y.dtype)
    v = jnp.cos(1.0 + jnp.arange(y.size, dtype=y.dtype)) if options.sensitivity else jnp.zeros(0, y.dtype)
    no, going = jnp.asarray(False), status == Status.converged
    state = State(start, y, v, h, branches, view, Hunt.off(start), going, no, none, status, record)

    def advance(t0: Array, t1: Array, y: Array, branches: Array) -> tuple[Array, Array]:
        return step(lambda t, y: field.look(t, y, parameters, branches)[0], t0, t1, y)

    def once(state: State) -> State:
        return _once(field, advance, options, start, end, parameters, state)

    state = while_loop(lambda state: anywhere(state.active), once, state)
    return state.record, state.status, state.closest, state.stopped


def _first(options: Options, f: Array, y: Array, span: Array) -> Array:
    """A hundredth of the time in which the state changes by its own size."""
    size, slope = (scaled_norm(v, y, y, options.rtol, options.atol) for v in (y, f))
    usual = (size > 1e-5) & (slope > 1e-5)
    return jnp.where(usual, 0.01 * size / jnp.where(slope > 0, slope, 1), 1e-6 * span)


def _once(
    field: Field,
    advance: Callable[..., tuple[Array, Array]],
    options: Options,
    start: Array,
    end: Array,
    parameters: Any,
    state: State,
) -> State:
    """One attempt: a step that is rejected, or accepted, or on which a crossing is looked for, found and crossed."""
    t, y, branches, before, hunt = state.t, state.y, state.branches, state.view, state.hunt
    eps = float(jnp.finfo(t.dtype).eps)
    last = t + state.h * (1 + 100 * eps) >= end
    whole = jnp.where(last, end, t + state.h)
    dt = whole - t
    t1 = jnp.where(hunt.on, t + hunt.target * dt, whole)
    v1 = state.v
    if options.sensitivity:
        (y1, error), (v1, spread) = jax.jvp(lambda y: advance(t, t1, y, branches), (y,), (state.v,))
        norm = scaled_norm(spread, state.v, v1, options.rtol, options.rtol * jnp.max(jnp.abs(state.v)))
        norm = jnp.maximum(norm, scaled_norm(error, y, y1, options.rtol, options.atol))
    else:
        y1, error = advance(t, t1, y, branches)
        norm = scaled_norm(error, y, y1, options.rtol, options.atol)
    view = field.view(t1, y1, parameters, branches)

    good = state.active & ((norm <= 1) & jnp.isfinite(view.f).all() | hunt.on)
    factor = jnp.where(norm > 0, SAFETY * norm ** (-1 / options.order), MOST)
    factor = jnp.where(jnp.isfinite(factor), jnp.clip(factor, LEAST, MOST), LEAST)
    value, slope = hermite(before, view, t1 - t)

    no = jnp.asarray(False)
    crossed, beyond = no, Beyond.idle(field, y1, branches, view)
    if field.count:
        # rounding leaves a margin of zero a little below it: no crossing
        floor = jnp.minimum(before.margin, 0) - 64 * eps * jnp.max(jnp.abs(y), initial=0.0)
        fine = 2 * eps * jnp.maximum(jnp.abs(whole), dt) / jnp.where(dt > 0, dt, 1)
        refined, found = refine(hunt, view, dt, floor, fine)
        crossed = good & found
        moment = instant(t, end - start)
        beyond = only_where(crossed, lambda: enter(field, t1, y1, view, parameters, branches, floor, moment), beyond)
        begun = begin(value, floor, hunt)
        hunt = jax.tree.map(lambda a, b: jnp.where(hunt.on, a, b), refined, begun)
        hunt = hunt._replace(on=hunt.on & good & ~crossed)

    room = state.record.crossings < options.max_crossings
    accepted = good & ~state.hunt.on & ~hunt.on
    inside = accepted | (crossed & room)
    record = _write(state.record, before, view, t1, beyond, inside, crossed & room)
    faults = [
        ((record.steps >= options.max_steps) & (t1 < end) & ~beyond.stop, Status.too_many_steps),
        (~good & (factor * dt <= 4 * eps * jnp.maximum(jnp.abs(t), jnp.abs(end))), Status.step_vanished),
        (crossed & ~room, Status.too_many_crossings),
        (beyond.stuck & ~beyond.stop, Status.sliding),
    ]
    if not options.allow_jumps:
        faults.append((beyond.jumped & ~beyond.fired.any(), Status.discontinuous))
    status = state.status
    for fault, text in faults:
        status = worst(status, Status.where(state.active & fault, text, Status.converged))

    stopped = state.stopped | (inside & beyond.stop)
    keep_size = crossed | (last & (factor > 1))
    moved = State(
        t=t1,
        y=beyond.y,
        v=v1,
        h=jnp.where(keep_size, state.h, dt * factor),
        branches=beyond.branches,
        view=beyond.view,
        hunt=Hunt.off(t),
        active=(t1 < end) & ~stopped,
        stopped=stopped,
        closest=jnp.minimum(state.closest, closest_crossing(value, slope, t1 - t, end - start)),
        status=status,
        record=record,
    )
    stayed = state._replace(h=jnp.where(good, state.h, dt * factor), hunt=hunt, status=status, record=record)
    small = [name for name in State._fields if name not in ("status", "record")]
    chosen = {
        name: jax.tree.map(lambda a, b: jnp.where(inside, a, b), getattr(moved, name), getattr(stayed, name))
        for name in small
    }
    chosen["active"] = chosen["active"] & (status == Status.converged)
    return moved._replace(**chosen)


def _write(
    record: Record, before: View, seen: View, t1: Array, beyond: Beyond, inside: Array, crossed: Array
) -> Record:
    """The record with one more step if `inside`, and one more crossing if `crossed`."""
    k, c = record.steps, record.crossings
    after = inside & crossed
    number = c + after.astype(jnp.int32)
    largest = jnp.maximum(jnp.abs(before.margin), jnp.abs(seen.margin))
    return Record(
        times=put(record.times, k + 1, t1, inside),
        states=put(record.states, k + 1, beyond.y, inside),
        segments=put(record.segments, k + 1, number, inside),
        crosses=put(record.crosses, k, after, inside),
        branches=put(record.branches, number, beyond.branches, after),
        others=put(record.others, number, beyond.view.other, after),
        flat=put(record.flat, c, jnp.maximum(record.flat[c], largest), inside),
        index=put(record.index, c, beyond.which, after),
        fired=put(record.fired, c, beyond.fired, after),
        stops=put(record.stops, c, beyond.stop, after),
        jumped=put(record.jumped, c, beyond.jumped, after),
        speed=put(record.speed, c, beyond.speed, after),
        step=put(record.step, c, k, after),
        steps=k + inside.astype(jnp.int32),
        crossings=number,
        tried=record.tried + 1,
    )
