"""Closure conversion: arrays that a function closes over become leaves, so that they are differentiated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx

from .tracing import is_traced, outside_transformations
from .watching import watching


def close_over(function: Callable[..., Any], *example: Any) -> Callable[..., Any]:
    """`function` as a pytree whose leaves are the arrays it closes over.

    Where nothing traced can be closed over the function stays itself, so that calling it again compiles nothing anew
    unless what it reads from outside has changed; inside a transformation it is traced once on `example`.
    """
    if outside_transformations():
        return watching(function)
    converted = eqx.filter_closure_convert(function, *example)
    return converted if is_traced(converted) else watching(function)
