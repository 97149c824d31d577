"""The field of a flow, traced: flat vectors in and out, its kinks and the events' guards as switching functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

from ..nonsmooth import closing
from .event import Event
from .pieces import BranchReading, Kink, Label


class View(NamedTuple):
    """What is seen from a point with the branches held: the field, margins, their rates in time, branches behind."""

    f: Array
    margin: Array
    rate: Array
    other: Array


class Field:
    """`f(t, y)` with its branches held, for flat `y`; `parameters` are all arrays that it and the resets depend on.

    The switching functions are the margins of the kinks of the field and of the guards, and, after them, the guards of
    the events: `E` of `K` in all.
    """

    def __init__(self, field: Callable[..., Any], t: Array, y: Any, args: Any, events: Sequence[Event]):
        flat, unravel = ravel_pytree(y)
        self.unravel, self.size, self.dtype = unravel, flat.size, flat.dtype
        self.events = tuple(events)

        def whole(t, flat, args):
            y = unravel(flat)
            guards = [jnp.asarray(event.guard(t, y, args)).astype(self.dtype) for event in self.events]
            return ravel_pytree(field(t, y, args))[0].astype(self.dtype), guards

        self._whole = closing.close(whole, (t, flat, args), {})
        self._resets = [
            None if e.reset is None else closing.close(self._flat_reset(e), (t, flat, args), {}) for e in self.events
        ]
        programs = [self._whole, *[reset for reset in self._resets if reset is not None]]
        self.parameters = [self._others(closed) for closed in programs]
        first = self._whole.closed_over
        self._moving = [i in (first, first + 1) for i in range(len(self._whole.arguments))]
        reading = BranchReading()
        shapes = jax.eval_shape(lambda *a: self._read(reading, list(a))[1], *self._whole.arguments)
        self._whole = self._whole._replace(arguments=[])  # values of one call are no part of the field
        self._resets = [None if closed is None else closed._replace(arguments=[]) for closed in self._resets]
        self.shapes = [kink.margin.shape for kink in shapes]
        self.labels = [*reading.labels, *[Label("event", f"events[{j}]", 1) for j in range(len(self.events))]]
        self.resets = any(reset is not None for reset in self._resets)
        self.unlocated = tuple(dict.fromkeys(reading.unlocated))
        self.count = sum(int(np.prod(shape)) for shape in self.shapes) + len(self.events)

    def _flat_reset(self, event: Event) -> Callable[..., Array]:
        assert event.reset is not None
        reset = event.reset
        return lambda t, flat, args: ravel_pytree(reset(t, self.unravel(flat), args))[0].astype(self.dtype)

    @staticmethod
    def _others(closed: closing.Closed) -> list[Array]:
        """All arguments of a program but `(t, y)`."""
        at = closed.closed_over
        return [*closed.arguments[:at], *closed.arguments[at + 2 :]]

    def _arguments(self, closed: closing.Closed, t: Array, y: Array, parameters: list[Array]) -> list[Array]:
        at = closed.closed_over
        return [*parameters[:at], t, y, *parameters[at:]]

    def _read(self, reading: BranchReading, arguments: list[Array]) -> tuple[list[Array], list[Kink]]:
        outputs, _ = reading.run(self._whole.program, arguments, self._moving)
        return outputs, reading.kinks

    def own(self, t: Array, y: Array, parameters: Any) -> Array:
        """The branches that the point is in, `(K,)`."""
        outputs, kinks = self._read(BranchReading(), self._arguments(self._whole, t, y, parameters[0]))
        guards = [(g >= 0).astype(jnp.int32) for g in outputs[1:]]
        return _joined([kink.branch for kink in kinks] + guards, jnp.int32)

    def look(self, t: Array, y: Array, parameters: Any, branches: Array) -> tuple[Array, Array, Array]:
        """The field, the margins and the branches behind them, with `branches` held."""
        ends = np.cumsum([int(np.prod(shape)) for shape in self.shapes])
        parts = jnp.split(branches, ends)
        held = [part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=False)]
        outputs, kinks = self._read(BranchReading(held), self._arguments(self._whole, t, y, parameters[0]))
        signs = (2 * parts[-1] - 1).astype(self.dtype)
        guards = [signs[j] * g for j, g in enumerate(outputs[1:])]
        margin = _joined([kink.margin for kink in kinks] + guards, self.dtype)
        other = _joined([kink.other for kink in kinks] + [1 - parts[-1]], jnp.int32)
        return outputs[0], margin, other

    def view(self, t: Array, y: Array, parameters: Any, branches: Array) -> View:
        """All that is seen from a point: margins with their rates along the flow."""

        def whole(t, y):
            f, margin, other = self.look(t, y, parameters, branches)
            return (f, margin), other

        (f, margin), push, other = jax.linearize(whole, t, y, has_aux=True)
        return View(f, margin, push(jnp.ones_like(t), f)[1], other)

    def reset(self, t: Array, y: Array, parameters: Any, fired: Array) -> Array:
        """`y` after the resets of the events that fired, in their order."""
        place = 1
        for j, closed in enumerate(self._resets):
            if closed is not None:
                arguments = self._arguments(closed, t, y, parameters[place])
                after = closed.rebuild(closing.jaxprs.run_program(closed.program, arguments))
                y = jnp.where(fired[j], after, y)
                place += 1
        return y


def _joined(parts: list[Array], dtype: Any) -> Array:
    return jnp.concatenate([part.reshape(-1).astype(dtype) for part in parts]) if parts else jnp.zeros(0, dtype)
