"""Programs that are the same are compiled once, also where the Python functions behind them are made anew."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import jax
import numpy as np

from . import jaxprs

T = TypeVar("T")

KEPT = 32  # executables remembered: those used last
LARGEST_CONSTANT = 10_000  # entries of constants up to which a program is written out to be compared
_executables: OrderedDict[Any, Any] = OrderedDict()
_lock = threading.Lock()


class Shared(Generic[T]):
    """`jax.jit(function)` on concrete arrays, sharing the executable of any `Shared` that lowers to the same program.

    The function is traced for every shape, so what it closes over is read anew, unlike under a `jit` kept for longer.
    Compiled for themselves are programs that call back to the host, since their text does not say what is called, and
    those with large constants.
    """

    def __init__(self, function: Callable[..., T]):
        self._jitted = jax.jit(function, keep_unused=True)
        self._known: dict[Any, Callable[..., T]] = {}

    def __call__(self, *arguments: Any) -> T:
        leaves, structure = jax.tree.flatten(arguments)
        key = structure, tuple(_kind(leaf) for leaf in leaves)
        if key not in self._known:
            self._known[key] = self._compiled(key, arguments)
        return self._known[key](*arguments)

    def _compiled(self, key: Any, arguments: tuple) -> Callable[..., T]:
        traced = self._jitted.trace(*arguments)
        if _constants(traced.jaxpr) > LARGEST_CONSTANT:
            return self._jitted
        lowered = traced.lower()
        text = lowered.as_text()
        # constants that are no part of the text would be further arguments of the program
        if "callback" in text or text.split("->", 1)[0].count("%arg") != len(key[1]):
            return self._jitted
        program = text, lowered.out_tree, key, getattr(jax.config, "jax_default_device", None)
        with _lock:
            if program in _executables:
                _executables.move_to_end(program)
                return _executables[program]
        compiled = lowered.compile()  # no other thread waits for it: two may compile the same
        with _lock:
            _executables[program] = compiled
            while len(_executables) > KEPT:
                _executables.popitem(last=False)
        return compiled


def _kind(leaf: Any) -> tuple:
    """What of an argument is compiled in: shape and type, and the devices where it was put."""
    where = leaf.sharding if isinstance(leaf, jax.Array) and leaf.committed else None
    kind = jax.typeof(leaf)
    return kind.shape, kind.dtype, kind.weak_type, where


def _constants(jaxpr: Any) -> int:
    """How many numbers are written into a program."""
    program = jaxprs.program(jaxpr)
    inside = sum(_constants(inner) for equation in program.equations for inner in jaxprs.subprograms(equation))
    return inside + sum(np.size(constant) for constant in program.consts)
