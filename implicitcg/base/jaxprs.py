"""Reading JAX programs: the few internals that the floor `nonsmooth` needs, gathered so that one file follows JAX."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import equinox
import jax
import jaxtyping
from jax._src import source_info_util
from jax._src.interpreters import partial_eval
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from jax.extend.core import Primitive as Primitive

# Frames of these are not the user's: this package, and what wraps functions on the way.
_PASSED_OVER = tuple(
    os.path.dirname(os.path.abspath(path)) + os.sep
    for path in (os.path.dirname(os.path.abspath(__file__)), equinox.__file__, jaxtyping.__file__)
)


class Program(NamedTuple):
    """A jaxpr in one shape for every version of JAX: `consts` are the values of the first `inputs`."""

    inputs: list[Any]
    consts: list[Any]
    equations: list[Any]
    outputs: list[Any]

    @property
    def arguments(self) -> list[Any]:
        """The inputs without a value of their own."""
        return self.inputs[len(self.consts) :]


def program(jaxpr: Any) -> Program:
    """Read a `Jaxpr` or a `ClosedJaxpr`; from JAX 0.12 on they are one class."""
    consts = list(getattr(jaxpr, "consts", ()))
    inner = jaxpr.jaxpr if hasattr(jaxpr, "jaxpr") else jaxpr
    return Program([*inner.constvars, *inner.invars], consts, list(inner.eqns), list(inner.outvars))


def is_literal(atom: Any) -> bool:
    """Whether an operand of an equation is a constant written into it."""
    return isinstance(atom, Literal)


def subprograms(equation: Any) -> Iterator[Any]:
    """The jaxprs in the parameters of an equation (bodies, branches, calls)."""
    for value in equation.params.values():
        for leaf in jax.tree_util.tree_leaves(value, is_leaf=_is_jaxpr):
            if _is_jaxpr(leaf):
                yield leaf


def _is_jaxpr(value: Any) -> bool:
    return isinstance(value, Jaxpr | ClosedJaxpr)


def bind(equation: Any, *operands: Any) -> list[Any]:
    """Run one equation as it is; always a list of results."""
    parameters = equation.primitive.get_bind_params(equation.params)
    with at(equation):
        subfunctions, parameters = parameters if isinstance(parameters, tuple) else ((), parameters)
        results = equation.primitive.bind(*subfunctions, *operands, **parameters)
    return list(results) if equation.primitive.multiple_results else [results]


@contextlib.contextmanager
def at(equation: Any) -> Iterator[None]:
    """Give what is traced inside the place in the user's source of `equation`, so that JAX's errors name it."""
    names = source_info_util.current_name_stack() + equation.source_info.name_stack
    context = source_info_util.user_context(equation.source_info.traceback, name_stack=names)
    with context, equation.ctx.manager:
        yield


def location(equation: Any, caller: str = "") -> str:
    """`file:line (function)` of the user's line that made an equation.

    JAX forgets the stack outside a `jit`; where only frames of this package are left it is the line `caller`, if known.
    """
    frames = list(itertools.islice(source_info_util.user_frames(equation.source_info.traceback), 64))
    outside = [frame for frame in frames if not frame.file_name.startswith(_PASSED_OVER)]
    if not frames or (caller and not outside):
        return caller
    frame = (outside or frames)[0]
    return f"{frame.file_name}:{frame.start_line} ({frame.function_name})"


def scan_layout(equation: Any) -> tuple[int, int]:
    """How many operands of a `scan` are constants, and how many are carried."""
    if "num_consts" in equation.params:
        return equation.params["num_consts"], equation.params["num_carry"]
    consts, carried, _ = equation.params["ft_in"].unpack()  # JAX >= 0.12
    return len(consts), len(carried)


def live(closed: Any, used_outputs: Sequence[bool]) -> Any:
    """Keep the used outputs and what they depend on; the arguments stay as they are."""
    pruned, _ = partial_eval.dce_jaxpr(closed.jaxpr, list(used_outputs), instantiate=True)
    return ClosedJaxpr(pruned, list(closed.consts))


def function_name(equation: Any) -> str:
    """The name of the Python function behind a call such as `custom_jvp_call`."""
    for inner in subprograms(equation):
        name = (inner.jaxpr if hasattr(inner, "jaxpr") else inner).debug_info.func_name
        return name.split(" ")[0]
    return equation.primitive.name


def trace(function: Callable[..., Any], *arguments: Any) -> tuple[Any, Any]:
    """`(closed jaxpr, tree of output shapes)` of a function of arrays."""
    return jax.make_jaxpr(function, return_shape=True)(*arguments)


def run_program(jaxpr: Any, arguments: Sequence[Any], visit: Callable[..., list[Any]] = bind) -> list[Any]:
    """Run a program equation by equation; `visit(equation, *operands)` may do something else than run it."""
    parts = program(jaxpr)
    start = dict(zip(parts.inputs, [*parts.consts, *arguments], strict=True))
    return run_equations(parts.equations, start, parts.outputs, visit)


def run_equations(
    equations: Sequence[Any], start: dict[Any, Any], outputs: Sequence[Any], visit: Callable[..., list[Any]] = bind
) -> list[Any]:
    """Run some equations from the values in `start`, and return the values of `outputs`."""
    values = dict(start)

    def read(atom):
        return atom.val if is_literal(atom) else values[atom]

    for equation in equations:
        results = visit(equation, *[read(atom) for atom in equation.invars])
        values.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in outputs]


def without_constants(closed: Any) -> tuple[Any, list[Any]]:
    """The same program with its constants as leading arguments, and those constants."""
    inner = closed.jaxpr
    converted = partial_eval.convert_constvars_jaxpr(inner)
    return ClosedJaxpr(converted, []), list(closed.consts)
