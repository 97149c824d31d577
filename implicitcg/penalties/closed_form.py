"""How a closed-form map is made: a value found by any algorithm, and a derivative written in terms of that value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax


def closed_form(value: Callable[..., Any], tangent: Callable[[Any, tuple, tuple], Any]) -> Callable[..., Any]:
    """The map `value` with the derivative `tangent(result, primals, tangents)`, the same again at every order.

    The rule is handed the result, so that a search made for the value is not made again for the derivative (XLA does
    not merge two equal loops). Inside the rule the result is the map itself, which makes second derivatives right.
    """
    function = jax.custom_jvp(value)

    @function.defjvp
    def rule(primals: tuple, tangents: tuple) -> tuple[Any, Any]:
        result = function(*primals)
        return result, tangent(result, primals, tangents)

    return function
