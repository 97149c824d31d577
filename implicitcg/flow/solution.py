"""`Flow`: a solved flow, what it met on its way, and its value at any time."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import ArrayLike, Bool, Float, Int, PyTree

from ..base import Status, is_traced
from .record import Record
from .replay import Follower


class Flow(eqx.Module):
    """What `icg.flow.solve` returns. `value`, `evaluate`, `crossing_times` and `event_times` carry derivatives.

    Attributes:
        ts: the times asked for, `(m,)`.
        value: the states at these times, the structure of `y0` with a leading axis `m`.
        status: an enumeration whose texts are advice (`icg.Status[status]`).
        crossing_times: when kinks and events were crossed, `(max_crossings,)`, infinite beyond the last one.
    """

    ts: Float[Array, " m"]
    value: PyTree
    status: Status
    crossing_times: Float[Array, " c"]
    states: Array
    parameters: PyTree
    record: Record
    closest: Array
    stopped: Array
    tolerances: tuple[Array, Array]
    follower: Follower

    @property
    def converged(self) -> Bool[Array, ""]:
        """Whether the end, or a terminal event, was reached."""
        return self.status == Status.converged

    @property
    def steps(self) -> Int[Array, ""]:
        """How many steps were accepted."""
        return self.record.steps

    @property
    def attempts(self) -> Int[Array, ""]:
        """How many steps were tried."""
        return self.record.tried

    @property
    def crossings(self) -> list[tuple[float, str, str, float]]:
        """What was crossed: `(time, name, place in the source, speed)`, the speed being that of its margin."""
        if is_traced(self.record) or jnp.ndim(self.record.crossings):
            raise TypeError(
                "`crossings` is a list of concrete numbers of one flow. Under jit and vmap read `crossing_times` and "
                "`event_times`; for a batch, take one flow: `jax.tree.map(lambda leaf: leaf[i], flow)`."
            )
        names = self.kink_names
        rows = range(int(self.record.crossings))
        times, index, speed = (np.asarray(a) for a in (self.crossing_times, self.record.index, self.record.speed))
        return [(float(times[c]), *names[index[c]], float(speed[c])) for c in rows]

    @property
    def kink_names(self) -> list[tuple[str, str]]:
        """The name and the place of every switching function, those of events last."""
        return [(label.name, label.where) for label in self.follower.field.labels for _ in range(label.size)]

    def event_times(self, event: int = 0) -> Float[Array, " c"]:
        """The times at which an event fired, in order, infinite beyond the last one: `(max_crossings,)`."""
        if not -len(self.follower.field.events) <= event < len(self.follower.field.events):
            raise IndexError(f"there are {len(self.follower.field.events)} events, and no number {event}.")
        fired = self.record.fired[:, event]
        order = jnp.argsort(~fired, stable=True)
        return jnp.where(fired[order], self.crossing_times[order], jnp.inf)

    def evaluate(self, t: Float[ArrayLike, " ..."]) -> PyTree:
        """The state at any times between the first and the last, differentiable in them; NaN outside.

        One step of the method from the node before, so as accurate as the solution itself. At the time of a jump it is
        the state after it.
        """
        t = jnp.asarray(t, self.ts.dtype)
        field, record = self.follower.field, self.record
        flat = self.follower.values(t.reshape(-1), self.states, self.parameters, record, record.branches, self.stopped)
        flat = jnp.where((t.reshape(-1) < lax.stop_gradient(self.ts[0]))[:, None], jnp.nan, flat)
        tree = jax.vmap(field.unravel)(flat)
        return jax.tree.map(lambda leaf: leaf.reshape(*t.shape, *leaf.shape[1:]), tree)

    def __str__(self) -> str:
        if is_traced(self.record) or jnp.ndim(self.record.steps):
            return f"Flow(ts={self.ts}, value={self.value})"
        lines = [str(Status[self.status]), f"  {int(self.steps)} steps, {int(self.attempts)} tried"]
        rows = self.crossings
        lines += [f"  t = {t:.6g}: {name} ({where}), speed {speed:.3g}" for t, name, where, speed in rows[:12]]
        if len(rows) > 12:
            lines.append(f"  ... {len(rows)} crossings in all")
        return "\n".join(lines)
