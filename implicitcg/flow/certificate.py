"""`certify`: whether a flow has one derivative, and the one that was returned."""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from ..base import Status, is_traced
from .solution import Flow


@dataclasses.dataclass(frozen=True)
class FlowCertificate:
    """The verdict on all elements of the conservative Jacobian of a flow.

    Attributes:
        verdict: `"certified"`: every kink, jump and event on the way was crossed transversally, so the conservative
            Jacobian has one element and the flow is differentiable there; `"unknown"`: that could not be shown.
        crossings: how many crossings there were.
        contacts: the kinks that were touched without being crossed, or along which the flow stays: `(name, place)`.
        margin: the least of `|margin| + 1e-3 (T - t0) |rate|` over all switching functions and times: how far the flow
            stays from touching a kink tangentially, in the units of the kink's own argument.
        speed: the least rate at which a switching function fell where it was crossed; infinite without a crossing.
        reason: why, in a sentence.
    """

    verdict: Literal["certified", "unknown"]
    crossings: int
    contacts: tuple[tuple[str, str], ...]
    margin: float
    speed: float
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.verdict}: {self.reason}\n  crossings             {self.crossings}\n"
            f"  margin                {self.margin:.3g}\n  slowest crossing      {self.speed:.3g}"
        )


def certify(flow: Flow, *, tol: float | None = None) -> FlowCertificate:
    """Whether the derivative of a flow is unique: all crossings transversal, and no kink touched.

    At a transversal crossing of a kink the flow is as differentiable as if there were none, and at that of a jump or an
    event its sensitivity jumps by a matrix that is known. Where the flow touches a kink tangentially, or stays on it,
    the derivative of the program is one of several (`icg.conservative_jacobian` lists them), or the margin between the
    two cases is below what the tolerance of the flow can tell.

    Args:
        flow: what `icg.flow.solve` returned (one flow, not a batch).
        tol: how near a touched kink counts as met, in the units of `margin`; by default ten times `atol + rtol |y|`
            at the largest state.

    Returns:
        A `FlowCertificate`; `print` it for a summary.

    Raises:
        TypeError: inside `jit` or `vmap`: a certificate is a decision about concrete numbers.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> absolute = lambda t, x, args: jnp.abs(x)
        >>> print(icg.flow.certify(icg.flow.solve(absolute, -1.0, None, (0.0, 1.0))).verdict)
        certified
        >>> print(icg.flow.certify(icg.flow.solve(absolute, 0.0, None, (0.0, 1.0))).verdict)
        unknown

    Source: Marx, Pauwels, Path differentiability of ODE flows, 2022.
    """
    if not isinstance(flow, Flow):
        raise TypeError(f"icg.flow.certify takes the Flow that icg.flow.solve returned, not a {type(flow).__name__}.")
    if is_traced(flow):
        raise TypeError("icg.flow.certify needs concrete numbers: return the flow from the transformed function first.")
    if np.ndim(flow.record.steps):
        raise TypeError("This is a batch of flows; certify one at a time: `jax.tree.map(lambda leaf: leaf[i], flow)`.")
    if tol is not None and not (np.isfinite(tol) and tol >= 0):
        raise ValueError(f"tol is {tol}; give a finite distance >= 0, or None for the flow's own tolerance.")
    count = int(flow.record.crossings)
    speeds = np.asarray(flow.record.speed)[:count]
    closest = np.asarray(flow.closest, float)
    margin, speed = float(closest.min(initial=np.inf)), float(speeds.min(initial=np.inf))
    names = flow.kink_names
    if tol is None:
        rtol, atol = (float(x) for x in flow.tolerances)
        tol = 10 * (atol + rtol * float(jnp.abs(flow.states[: int(flow.steps) + 1]).max()))
    touched = tuple(dict.fromkeys(names[i] for i in np.flatnonzero(closest <= tol)))

    def verdict(kind: Literal["certified", "unknown"], reason: str) -> FlowCertificate:
        return FlowCertificate(kind, count, touched, margin, speed, reason)

    if not bool(flow.converged):
        return verdict("unknown", f"there is no flow to certify. {Status[flow.status]}")
    if flow.follower.field.unlocated:
        return verdict("unknown", f"kinks that are not located: {'; '.join(flow.follower.field.unlocated)}.")
    if touched:
        name, where = touched[0]
        many = "" if len(touched) == 1 else f" and {len(touched) - 1} more"
        return verdict(
            "unknown",
            f"the flow touches {name} ({where}){many} tangentially, stays on it, or crosses it too slowly to tell, "
            f"within {tol:.1e}.",
        )
    together = _together(flow, count)
    if together:
        return verdict("unknown", f"several jumps are crossed at once at t = {together:.6g}, and their order matters.")
    how = "no kink was met" if count == 0 else f"all {count} crossings are transversal"
    return verdict("certified", f"{how}, so the derivative is unique.")


def _together(flow: Flow, count: int) -> float | None:
    """The time of a crossing of independent surfaces at which the field or the state jumps, if there is one."""
    record, field = flow.record, flow.follower.field
    for c in np.flatnonzero(np.asarray(record.jumped)[:count] | np.asarray(record.fired)[:count].any(1)):
        t, y = flow.crossing_times[c], flow.states[record.step[c] + 1]
        if np.asarray(record.fired)[c].any():
            y = flow.states[record.step[c]]
            y, _ = flow.follower.step(
                lambda t, y: field.look(t, y, flow.parameters, record.branches[c])[0],  # noqa: B023
                record.times[record.step[c]],
                t,
                y,
            )
        branches = record.branches[c]
        margin = field.look(t, y, flow.parameters, branches)[1]
        gradients = jax.jacobian(lambda y: field.look(t, y, flow.parameters, branches)[1])(y)  # noqa: B023
        rows = np.asarray(gradients, float)[np.abs(np.asarray(margin)) <= 1e-6 * (1 + float(jnp.abs(y).max()))]
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
        if len(rows) > 1 and np.linalg.matrix_rank(rows, tol=1e-6) > 1:
            return float(t)
    return None
