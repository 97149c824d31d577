"""The places in a program where a branch is chosen, and how to run it with other choices.

`run_sites` evaluates a program in which every kink is one call of `choose` with a rule for these choices, and records
what was chosen and how near each kink was, inside loops, branches and calls, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import Array, lax
from jax import numpy as jnp

from ..base import jaxprs
from . import control
from .choice import choice_p


class Site(NamedTuple):
    """A place where a branch is chosen: its kind, name and line, and the shape of its weights."""

    name: str
    kind: str
    where: str
    keep: int
    lengths: tuple[int, ...]  # of the scans around it: weights and records have these as leading axes
    local: tuple[int, ...]
    dtype: Any
    distance_dtype: Any
    repeated: bool  # inside a while_loop: one override for all its steps

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.lengths, *self.local)


class SiteRecord(NamedTuple):
    """What a program chose by itself at a site, and how far each choice was from its kink."""

    default: Array
    distance: Array


Rule = Callable[[Site, Array, Array, "Array | None"], Array]


def chosen(site: Site, default: Array, distance: Array, weight: Array | None) -> Array:
    """The rule that changes nothing."""
    return default


class Manner(NamedTuple):
    """How a derivative program is run: the rule for its choices, whether they are recorded, and what is put for the
    pieces inside it, whose own derivatives are the second derivatives of the function.
    """

    rule: Rule = chosen
    recording: bool = False
    piece: Callable[[Any, list], list] | None = None


def sites(jaxpr: Any, outer: tuple[int, ...] = (), repeated: bool = False) -> list[Site]:
    """All choices of a program in the order in which `run_sites` meets them."""
    found = []
    for equation in jaxprs.program(jaxpr).equations:
        if equation.primitive is choice_p:
            default, distance = (atom.aval for atom in equation.invars)
            name, kind, where, keep = (equation.params[key] for key in ("name", "kind", "where", "keep"))
            shapes = (default.shape, default.dtype, distance.dtype)
            found.append(Site(name, kind, where, keep, outer, *shapes, repeated))
        elif equation.primitive.name == "scan":
            found += sites(equation.params["jaxpr"], (*outer, equation.params["length"]), repeated)
        elif equation.primitive.name == "while":
            found += sites(equation.params["body_jaxpr"], outer, True)
        else:
            for inner in inner_programs(equation):
                found += sites(inner, outer, repeated)
    return found


_REMAT = ("checkpoint", "remat", "remat2")


def run_sites(
    jaxpr: Any, arguments: list, places: tuple[Site, ...], weights: list, manner: Manner
) -> tuple[list, list[SiteRecord]]:
    """Evaluate a derivative program with `manner.rule(site, default, distance, weight)` for each of its choices."""
    supply = iter(zip(places, weights, strict=True))
    records: list[SiteRecord] = []

    def visit(equation, *operands):
        name = equation.primitive.name
        if equation.primitive is choice_p:
            ((site, weight),) = _take(supply, 1)
            # like the primitive itself, whatever stands for it has derivative zero
            default, distance = (lax.stop_gradient(jnp.asarray(operand)) for operand in operands)
            records.append(SiteRecord(default, distance))
            return [manner.rule(site, default, distance, weight)]
        if name == "custom_jvp_call" and manner.piece is not None:
            return manner.piece(equation, list(operands))
        inner = [(jaxpr, len(sites(jaxpr))) for jaxpr in inner_programs(equation)]
        total = sum(count for _, count in inner)
        if total == 0:
            return jaxprs.bind(equation, *operands)
        mine = _take(supply, total)
        results, found = _HANDLERS[name](equation, list(operands), inner, mine, manner)
        records.extend(found)
        return results

    return jaxprs.run_program(jaxpr, arguments, visit), records


def _take(supply: Any, count: int) -> list:
    return [next(supply) for _ in range(count)]


def inner_programs(equation: Any) -> list[Any]:
    """The programs inside an equation in which choices are seen; those of any other equation stay as they are."""
    if equation.primitive.name == "while":
        return [equation.params["body_jaxpr"]]
    return list(jaxprs.subprograms(equation)) if equation.primitive.name in _HANDLERS else []


def _inside(jaxpr, operands, mine, manner):
    return run_sites(jaxpr, operands, tuple(site for site, _ in mine), [weight for _, weight in mine], manner)


def _call(equation, operands, inner, mine, manner):
    ((jaxpr, _),) = inner
    return _inside(jaxpr, operands, mine, manner)


def _remat(equation, operands, inner, mine, manner):
    ((jaxpr, _),) = inner
    options = {key: equation.params[key] for key in ("prevent_cse", "policy")}
    return jax.checkpoint(lambda *values: _inside(jaxpr, list(values), mine, manner), **options)(*operands)


def _scan(equation, operands, inner, mine, manner):
    ((body, _),) = inner
    parameters = equation.params
    constants, carried = jaxprs.scan_layout(equation)
    consts, init, xs = operands[:constants], operands[constants : constants + carried], operands[constants + carried :]
    outputs = jaxprs.program(body).outputs
    given = [(i, weight) for i, (_, weight) in enumerate(mine) if weight is not None]
    places = [site._replace(lengths=site.lengths[1:]) for site, _ in mine]

    def step(carry, slices):
        x, weights = slices
        here = [(site, None) for site in places]
        for (i, _), weight in zip(given, weights, strict=False):
            here[i] = (places[i], weight)
        results, found = _inside(body, [*consts, *carry, *x], here, manner)
        results = control.cast_like(results, outputs)
        return results[:carried], (results[carried:], found if manner.recording else [])

    options = {key: parameters[key] for key in ("length", "reverse", "unroll")}
    carry, (ys, found) = lax.scan(step, control.cast_like(init, outputs), (xs, [w for _, w in given]), **options)
    return [*carry, *ys], found


def _while(equation, operands, inner, mine, manner):
    ((body, _),) = inner
    parameters = equation.params
    of_condition, of_body = parameters["cond_nconsts"], parameters["body_nconsts"]
    condition_consts, rest = operands[:of_condition], operands[of_condition:]
    body_consts, init = rest[:of_body], rest[of_body:]
    outputs = jaxprs.program(body).outputs
    nearest = [_absent(site) for site, _ in mine] if manner.recording else []

    def proceed(state):
        return jaxprs.run_program(parameters["cond_jaxpr"], [*condition_consts, *state[0]])[0]

    def step(state):
        carry, nearest = state
        results, found = _inside(body, [*body_consts, *carry], mine, manner)
        kept = [_nearer(old, new) for old, new in zip(nearest, found, strict=False)]
        return control.cast_like(results, outputs), kept

    carry, nearest = lax.while_loop(proceed, step, (control.cast_like(init, outputs), nearest))
    return list(carry), nearest


def _nearer(old: SiteRecord, new: SiteRecord) -> SiteRecord:
    """Of two steps of a loop, entry by entry, the one nearer to its kink."""
    closer = new.distance < old.distance
    return SiteRecord(jnp.where(closer, new.default, old.default), jnp.where(closer, new.distance, old.distance))


def _absent(site: Site) -> SiteRecord:
    """The record of a choice that was not met: infinitely far from any kink."""
    return SiteRecord(jnp.zeros(site.shape, site.dtype), jnp.full(site.shape, jnp.inf, site.distance_dtype))


def _cond(equation, operands, inner, mine, manner):
    index, *rest = operands
    ends = [sum(count for _, count in inner[: i + 1]) for i in range(len(inner))]

    def branch(jaxpr, start, end):
        outputs = jaxprs.program(jaxpr).outputs

        def taken(*values):
            results, found = _inside(jaxpr, list(values), mine[start:end], manner)
            if not manner.recording:
                return control.cast_like(results, outputs), []
            before = [_absent(site) for site, _ in mine[:start]]
            after = [_absent(site) for site, _ in mine[end:]]
            return control.cast_like(results, outputs), [*before, *found, *after]

        return taken

    starts = [0, *ends[:-1]]
    branches = [branch(jaxpr, start, end) for (jaxpr, _), start, end in zip(inner, starts, ends, strict=False)]
    return lax.switch(index, branches, *rest)


_HANDLERS = dict.fromkeys(control.CALLS, _call) | dict.fromkeys(_REMAT, _remat)
_HANDLERS |= {"scan": _scan, "while": _while, "cond": _cond}
