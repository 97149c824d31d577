"""Functions that know what they read from outside, so that no program made for other values is used again."""

from __future__ import annotations

import functools
import hashlib
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

PLAIN = (bool, int, float, complex, str, bytes, type(None))


class Watching:
    """`function`, equal to another `Watching` of it only where both found the same in the variables that it reads.

    JAX keeps the programs of a function as long as it is the same function, whatever became of the variables outside.
    Read are what it closes over and the globals that it names: numbers, text, arrays, and containers of these, also in
    functions of the same module that it calls. Attributes of objects are not looked into.
    """

    def __init__(self, function: Any):
        functools.update_wrapper(self, function)
        self._function = function
        self._read = _mark(function, function.__module__, set())
        self._hash = hash(self._read)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Watching) and self._read == other._read


class _Same:
    """Something that is equal to itself only."""

    def __init__(self, value: Any):
        self.value = value  # kept, so that its identity is not given to another

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value


def watching(function: Callable[..., Any]) -> Callable[..., Any]:
    """A Python function as a `Watching`; anything else that is called as it is."""
    return Watching(function) if isinstance(function, types.FunctionType) else function


def _mark(value: Any, module: str, seen: set[int]) -> Any:
    """Something hashable that is equal for values with which a function does the same.

    `seen` are those that are looked into already.
    """
    if isinstance(value, PLAIN):
        return type(value), repr(value)
    if isinstance(value, np.ndarray | np.generic) and value.dtype != object:
        return value.shape, value.dtype.str, hashlib.blake2b(np.ascontiguousarray(value).tobytes()).digest()
    if id(value) in seen:
        return _Same(value)
    if isinstance(value, tuple | list):
        seen.add(id(value))
        return type(value), tuple(_mark(item, module, seen) for item in value)
    if isinstance(value, dict):
        seen.add(id(value))
        return dict, tuple((_mark(key, module, seen), _mark(item, module, seen)) for key, item in value.items())
    if isinstance(value, types.FunctionType) and value.__module__ == module:
        seen.add(id(value))
        return _Same(value), tuple((name, _mark(found, module, seen)) for name, found in _variables(value))
    return _Same(value)


def _variables(function: Any) -> Iterator[tuple[str, Any]]:
    """The variables outside of a function that its code names, with their values."""
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not bound yet
            continue
    for name in sorted(_names(code)):
        if name in function.__globals__:
            yield name, function.__globals__[name]
    for name, default in (function.__kwdefaults__ or {}).items():
        yield name, default
    for place, default in enumerate(function.__defaults__ or ()):
        yield str(place), default


def _names(code: types.CodeType) -> set[str]:
    """The names in some code, and in the functions made inside it."""
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return set(code.co_names).union(*(_names(nested) for nested in inner))
