"""`kinks`: where a program sits on a kink, in the user's own lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..base import is_traced, jaxprs
from . import closing, derivative, selections, sites
from .rewrite import Reading

MEANING = {
    "interval": "kink",
    "simplex": "tie among several",
    "index": "tie of an index",
    "order": "tie in a sort",
    "ball": "norm at zero",
    "jump": "jump: no derivative tells of it",
    "unbounded": "infinite slope",
    "multiplicity": "repeated eigenvalues",
}


class KinkReport(eqx.Module):
    """Which nonsmooth primitives of a program there are, and how near each is to its kink; one row a line and name.

    Under `jit` and `vmap` the three arrays are traced and the labels are static.

    Attributes:
        names: what is nonsmooth, `("max", "relu", "where >", "sort", ...)`: the names that `with_ties` takes.
        kinds: what may happen there: `interval` (two branches), `simplex` (several candidates), `index`, `order`,
            `ball` (a norm at zero); or, only reported, `jump`, `unbounded`, `multiplicity`.
        places: `file:line (function)`.
        entries: how many scalar entries lie within `tol`, `(rows,)`.
        distances: how near the nearest entry is, `(rows,)`, in the units of the kink's own argument.
        picks: what JAX picks at that entry, `(rows,)`: the weight of the upper or first branch; for `unbounded` and
            `ball` the slope itself; NaN where there is nothing to pick.
        tol: what counted as on the kink.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    kinds: tuple[str, ...] = eqx.field(static=True)
    places: tuple[str, ...] = eqx.field(static=True)
    entries: Int[Array, "... rows"]
    distances: Float[Array, "... rows"]
    picks: Float[Array, "... rows"]
    tol: float = eqx.field(static=True)

    @property
    def count(self) -> Int[Array, "..."]:
        """How many entries lie on a kink, all rows together."""
        return self.entries.sum(-1)

    @property
    def margin(self) -> Float[Array, "..."]:
        """The distance to the nearest kink of all; infinite for a smooth program."""
        return self.distances.min(-1, initial=jnp.inf)

    def __str__(self) -> str:
        if is_traced(self.entries) or self.entries.ndim != 1:
            return f"KinkReport of {len(self.names)} nonsmooth places: {', '.join(self.names) or 'none'}"
        entries, distances, picks = (np.asarray(part) for part in (self.entries, self.distances, self.picks))
        rows = [("what", "kind", "entries", "nearest", "JAX picks", "where")]
        for i in np.flatnonzero(entries):
            numbers = (str(entries[i]), f"{distances[i]:.2g}", f"{picks[i]:g}")
            rows.append((self.names[i], MEANING[self.kinds[i]], *numbers, self.places[i]))
        near = f"within {self.tol:g} of a kink" if self.tol else "on a kink"
        if len(rows) == 1:
            margin = f"; the nearest is {float(self.margin):.3g} away" if len(self.names) else ""
            return f"No entry is {near}: {len(self.names)} nonsmooth places were passed{margin}."
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows
        ]
        total = f"{int(entries.sum())} entries {near}, at {len(rows) - 1} of {len(self.names)} nonsmooth places."
        return "\n".join([*lines, total])


def kinks(fn: Callable[..., Any], *args: Any, tol: float = 0.0, **kwargs: Any) -> KinkReport:
    """Report every nonsmooth primitive of `fn` on which the derivative at these arguments depends.

    One run of the derivative program, without a derivative: through `jit`, `vmap`, loops, branches, `remat`, custom
    rules and `icg.solve`. Seen are `max`, `min`, `abs`, `clamp`, comparisons that feed `where`, a mask or `cond`,
    maxima over axes, `argmax` of what is gathered, `sort`, `top_k`, cumulative maxima, pooling, norms and square roots
    at zero, the steps of `sign`, `floor`, `ceil` and `round`, and repeated eigenvalues in `eigh` and `svd`; and, inside
    the rules of `custom_jvp` and `custom_vjp`, comparisons and signs. Not seen are the condition of a `while_loop`,
    comparisons made outside a loop and used inside it, and what is under `shard_map` but for the library's own pieces.

    Arguments:
        fn: a function of arrays or trees of arrays.
        *args: where to look; what `fn` closes over counts as constant.
        tol: entries within this distance count as on the kink, in the units of the kink's own argument (`u` for
            `relu(u)`, `a - b` for `maximum(a, b)`, the gap between neighbours in a sort).
        **kwargs: further arguments of `fn`.

    Returns: a `KinkReport`; `print` it for a table. Under `jit` it is a report of arrays.

    >>> import jax, jax.numpy as jnp
    >>> report = kinks(lambda x: jax.nn.relu(x).sum(), jnp.array([-1.0, 0.0, 2.0]))
    >>> report.names, report.entries.tolist(), report.picks.tolist()
    (('relu',), [1], [0.0])
    """
    return _table(*_read(fn, args, kwargs, tol), tol)


def count_and_margin(fn: Callable[..., Any], *args: Any, tol: Any) -> tuple[Int[Array, ""], Float[Array, ""]]:
    """The count and the margin of `kinks`, without its table; `tol` may be traced."""
    _, measured = _read(fn, args, {}, tol)
    if not measured:
        return jnp.zeros((), jnp.int32), jnp.asarray(jnp.inf)
    counts, near, _ = (jnp.stack(column) for column in zip(*measured, strict=True))
    return counts.sum(dtype=jnp.int32), near.min()


def _read(fn: Callable[..., Any], args: tuple, kwargs: dict, tol: Any) -> tuple[list[sites.Site], list[tuple]]:
    """All places where a branch is chosen, and what `_measured` says of each."""
    closed = closing.close(fn, args, kwargs)
    moving = [moves and i >= closed.closed_over for i, moves in enumerate(closed.moving)]
    if not any(moving):
        return [], []
    linear = derivative.linearise(closed.program, closed.arguments, moving, Reading(tol, reporting=True))
    outputs = len(jaxprs.program(linear.program).outputs)
    program = jaxprs.live(linear.program, [i >= linear.results for i in range(outputs)])
    linear = derivative.Derivative(program, tuple(sites.sites(program)), 0)
    still = [jnp.zeros_like(argument) for argument, moves in zip(closed.arguments, moving, strict=False) if moves]

    @jax.jit
    def measure(arguments, still):
        records = linear.records(arguments, still)
        return [_measured(site, record, tol) for site, record in zip(linear.sites, records, strict=False)]

    return list(linear.sites), measure(closed.arguments, still)


def _measured(site: sites.Site, record: sites.SiteRecord, tol: Any) -> tuple[Array, Array, Array]:
    """Ambiguous entries, the smallest distance, and what is picked there."""
    distance = jnp.where(jnp.isnan(record.distance), jnp.inf, record.distance)
    many = selections.ambiguous(site, distance, tol)
    pick = record.default
    if site.kind in ("simplex", "index"):
        many = many.any(-1)
        distance = jnp.sort(distance, -1)[..., min(1, distance.shape[-1] - 1)]
        if site.local[-1] == 1:
            distance = jnp.full_like(distance, jnp.inf)
        pick = pick.max(-1)
    elif site.kind == "ball":
        many, distance, pick = many[..., 0], distance[..., 0], pick[..., 0]
    elif site.kind == "order":
        distance = distance.at[..., -1].set(jnp.inf)
        pick = jnp.ones_like(distance)
    elif site.kind in ("jump", "multiplicity"):
        pick = jnp.full_like(distance, jnp.nan)
    flat = distance.reshape(-1)
    if flat.size == 0:
        return jnp.zeros((), jnp.int32), jnp.asarray(jnp.inf), jnp.asarray(jnp.nan)
    nearest = jnp.argmin(flat)
    number = jnp.result_type(float)
    return many.sum(dtype=jnp.int32), flat[nearest].astype(number), pick.reshape(-1)[nearest].astype(number)


def _table(places: list[sites.Site], measured: list[tuple[Array, Array, Array]], tol: float) -> KinkReport:
    """One row for each name, kind and line."""
    rows: dict[tuple[str, str, str], list] = {}
    for site, numbers in zip(places, measured, strict=False):
        rows.setdefault((site.name, site.kind, site.where), []).append(numbers)
    labels = list(rows)
    entries, distances, picks = [], [], []
    for numbers in rows.values():
        counts, near, picked = (jnp.stack(column) for column in zip(*numbers, strict=False))
        entries.append(counts.sum(dtype=jnp.int32))
        distances.append(near.min())
        picks.append(picked[jnp.argmin(near)])
    return KinkReport(
        names=tuple(name for name, _, _ in labels),
        kinds=tuple(kind for _, kind, _ in labels),
        places=tuple(place for _, _, place in labels),
        entries=jnp.stack(entries) if entries else jnp.zeros(0, jnp.int32),
        distances=jnp.stack(distances) if distances else jnp.zeros(0),
        picks=jnp.stack(picks) if picks else jnp.zeros(0),
        tol=tol,
    )
