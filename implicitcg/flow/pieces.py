"""A program read as pieces: every kink has a branch that can be held, and a margin that tells when it is left.

`read` evaluates a traced program. At each kink on the way it takes the branch it is given (or, without one, the branch
that the point is in), and records the **margin**: a function of the point that is nonnegative where the branch is the
program's own and falls through zero where the program changes to another one. With its branches held the program is
smooth, beyond the kinks too; the margins are the switching functions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..base import jaxprs
from ..nonsmooth.choice import choice_p
from ..nonsmooth.control import CALLS, cast_like
from ..nonsmooth.native import is_float
from .branches import BRANCH_RULES, UNLOCATED, Kink


class Label(NamedTuple):
    """What a kink is called, where it is in the source, and how many scalar kinks it stands for."""

    name: str
    where: str
    size: int


class BranchReading:
    """One evaluation of a program: `branches` to hold, one array a site, or `None` for the program's own."""

    def __init__(self, branches: list[Array] | None = None, caller: str = ""):
        self.branches = None if branches is None else list(branches)
        self.caller = caller
        self.kinks: list[Kink] = []
        self.labels: list[Label] = []
        self.unlocated: list[str] = []

    def run(self, jaxpr: Any, arguments: list[Any], moving: list[bool]) -> tuple[list[Any], list[bool]]:
        """The outputs of a program and whether they move; `moving` marks the arguments that change in time."""
        program = jaxprs.program(jaxpr)
        values = dict(zip(program.inputs, [*program.consts, *arguments], strict=True))
        moves = dict(zip(program.arguments, moving, strict=True))
        felt = _felt(program)
        for equation in program.equations:
            operands = [a.val if jaxprs.is_literal(a) else values[a] for a in equation.invars]
            along = [not jaxprs.is_literal(a) and moves.get(a, False) for a in equation.invars]
            if any(along) and any(out in felt for out in equation.outvars):
                results, changing = self._equation(equation, operands, along)
            else:
                results, changing = jaxprs.bind(equation, *operands), [any(along)] * len(equation.outvars)
            values.update(zip(equation.outvars, results, strict=True))
            moves.update(zip(equation.outvars, changing, strict=True))
        outputs = [a.val if jaxprs.is_literal(a) else values[a] for a in program.outputs]
        return outputs, [not jaxprs.is_literal(a) and moves.get(a, False) for a in program.outputs]

    def _equation(self, equation: Any, operands: list[Any], along: list[bool]) -> tuple[list[Any], list[bool]]:
        name = equation.primitive.name
        many = len(equation.outvars)
        if name in CALLS or name in ("checkpoint", "remat", "remat2"):
            (inner,) = jaxprs.subprograms(equation)
            return self._inline(inner, equation, operands, along)
        if name == "custom_jvp_call":
            if not _kinked_rule(equation):
                return jaxprs.bind(equation, *operands), [True] * many
            inner = next(iter(jaxprs.subprograms(equation)))
            if _closed_form(inner):
                return self._inline(inner, equation, operands, along)
        if name == "scan":
            return self._scan(equation, operands, along), [True] * many
        if name == "cond":
            return self._cond(equation, operands, along), [True] * many
        if name in BRANCH_RULES and is_float(operands[0]):
            place = jaxprs.location(equation, self.caller)
            branch = self.branches.pop(0) if self.branches is not None else None
            result, kink, changes = BRANCH_RULES[name](equation, operands, branch)
            self._record(kink, Label(name, place, kink.margin.size))
            return [result], [changes]
        if name in UNLOCATED or (name in ("while", "custom_jvp_call", "custom_vjp_call") and _has_kinks(equation)):
            inner = f"a rule of {jaxprs.function_name(equation)}" if name.startswith("custom") else name
            self.unlocated.append(f"{inner} at {jaxprs.location(equation, self.caller)}")
        return jaxprs.bind(equation, *operands), [True] * many

    def _inline(
        self, inner: Any, equation: Any, operands: list[Any], along: list[bool]
    ) -> tuple[list[Any], list[bool]]:
        caller, self.caller = self.caller, jaxprs.location(equation, self.caller)
        results = self.run(inner, operands, along)
        self.caller = caller
        return results

    def _record(self, kink: Kink, label: Label) -> None:
        self.kinks.append(Kink(*(lax.stop_gradient(kink.branch), kink.margin, lax.stop_gradient(kink.other))))
        self.labels.append(label)

    def _inside(
        self, jaxpr: Any, arguments: list[Any], along: list[bool], branches: Any
    ) -> tuple[list[Any], BranchReading]:
        inner = BranchReading(branches, self.caller)
        outputs, _ = inner.run(jaxpr, arguments, along)
        return cast_like(outputs, jaxprs.program(jaxpr).outputs), inner

    def _shapes(self, jaxpr: Any, along: list[bool]) -> BranchReading:
        """The kinks of an inner program, by their shapes."""
        found: list[BranchReading] = []

        def look(*arguments):
            _, inner = self._inside(jaxpr, list(arguments), along, None)
            found.append(inner)
            return inner.kinks

        arguments = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in jaxprs.program(jaxpr).arguments]
        kinks = jax.eval_shape(look, *arguments)
        found[-1].kinks = kinks
        return found[-1]

    def _scan(self, equation: Any, operands: list[Any], along: list[bool]) -> list[Any]:
        parameters = equation.params
        constants, carried = jaxprs.scan_layout(equation)
        body = parameters["jaxpr"]
        consts, init, xs = np.split(np.arange(len(operands)), [constants, constants + carried])
        along = [moves or i in init for i, moves in enumerate(along)]
        inside = self._shapes(body, along)
        given = None if self.branches is None else [self.branches.pop(0) for _ in inside.kinks]

        def step(carry, x):
            x, branches = x
            arguments = [*[operands[i] for i in consts], *carry, *x]
            outputs, inner = self._inside(body, arguments, along, branches)
            return outputs[:carried], (outputs[carried:], inner.kinks)

        start = cast_like([operands[i] for i in init], jaxprs.program(body).outputs)
        options = {key: parameters[key] for key in ("length", "reverse", "unroll")}
        carry, (ys, kinks) = lax.scan(step, start, ([operands[i] for i in xs], given), **options)
        for kink, label in zip(kinks, inside.labels, strict=True):
            self._record(kink, label._replace(size=kink.margin.size))
        self.unlocated += inside.unlocated
        return [*carry, *ys]

    def _cond(self, equation: Any, operands: list[Any], along: list[bool]) -> list[Any]:
        branches = equation.params["branches"]
        inside = [self._shapes(branch, along[1:]) for branch in branches]
        absent = [
            Kink(
                jnp.zeros(k.branch.shape, jnp.int32),
                jnp.full(k.margin.shape, jnp.inf, k.margin.dtype),
                jnp.zeros(k.other.shape, jnp.int32),
            )
            for reading in inside
            for k in reading.kinks
        ]
        given = None if self.branches is None else [self.branches.pop(0) for _ in absent]
        ends = np.cumsum([0, *[len(reading.kinks) for reading in inside]])

        def taken(i):
            def run(*values):
                mine = None if given is None else given[ends[i] : ends[i + 1]]
                outputs, inner = self._inside(branches[i], list(values), along[1:], mine)
                return outputs, [*absent[: ends[i]], *inner.kinks, *absent[ends[i + 1] :]]

            return run

        outputs, kinks = lax.switch(operands[0], [taken(i) for i in range(len(branches))], *operands[1:])
        labels = [label for reading in inside for label in reading.labels]
        for kink, label in zip(kinks, labels, strict=True):
            self._record(kink, label)
        self.unlocated += [name for reading in inside for name in reading.unlocated]
        return outputs


def _felt(program: jaxprs.Program) -> set[Any]:
    """Values that reach an output otherwise than through `stop_gradient` (as the maximum in a `logsumexp` does not)."""
    felt = {a for a in program.outputs if not jaxprs.is_literal(a)}
    for equation in reversed(program.equations):
        if equation.primitive.name != "stop_gradient" and any(out in felt for out in equation.outvars):
            felt |= {a for a in equation.invars if not jaxprs.is_literal(a)}
    return felt


def _kinked_rule(equation: Any) -> bool:
    """Whether the derivative rule of a `custom_jvp` has branches: if not the function is smooth, as its author says."""
    shapes = [jax.ShapeDtypeStruct(a.aval.shape, a.aval.dtype) for a in equation.invars]
    if not all(jnp.issubdtype(s.dtype, jnp.floating) for s in shapes):
        return True

    def directional(primals, tangents):
        return jax.jvp(lambda *values: jaxprs.bind(equation, *values), primals, tangents)

    program, _ = jaxprs.trace(directional, shapes, shapes)
    return _any_kink(program, into_custom=False)


def _any_kink(jaxpr: Any, into_custom: bool = True) -> bool:
    for equation in jaxprs.program(jaxpr).equations:
        name = equation.primitive.name
        if equation.primitive is choice_p or name in UNLOCATED:
            return True
        if name in BRANCH_RULES and any(is_float(a.aval) for a in equation.invars):
            return True
        if name.startswith("custom") and not into_custom:
            continue
        if any(_any_kink(inner, into_custom) for inner in jaxprs.subprograms(equation)):
            return True
    return False


def _has_kinks(equation: Any) -> bool:
    return any(_any_kink(inner) for inner in jaxprs.subprograms(equation))


def _closed_form(jaxpr: Any) -> bool:
    """Whether a program has no loop that ends by a condition, as solvers have."""
    return not any(
        equation.primitive.name == "while" or any(not _closed_form(inner) for inner in jaxprs.subprograms(equation))
        for equation in jaxprs.program(jaxpr).equations
    )
