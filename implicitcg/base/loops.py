"""Loops whose carries may start out the same on all devices and end up different, under `jax.shard_map`.

Inside `shard_map` JAX types every array by the mesh axes along which it varies, and the carry of a loop must keep its
type. A solver's counters and zeros start unvarying and become varying in the first step, so they are marked before.
So do the branches of a conditional. Outside `shard_map` these are `lax.while_loop`, `lax.fori_loop` and `lax.switch`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import equinox.internal as eqxi
import jax
import jax.numpy as jnp
from jax import Array, lax

Carry = TypeVar("Carry")
T = TypeVar("T")


def while_loop(condition: Callable[[Carry], Array], body: Callable[[Carry], Carry], start: Carry) -> Carry:
    """`lax.while_loop`, with the start marked as varying wherever the body makes it so."""
    return lax.while_loop(condition, body, _marked(body, start))


def fori_loop(lower: Any, upper: Any, body: Callable[[Any, Carry], Carry], start: Carry) -> Carry:
    """`lax.fori_loop`, with the start marked as varying wherever the body makes it so."""
    return lax.fori_loop(lower, upper, body, _marked(lambda carry: body(lower, carry), start))


def switch(index: Any, branches: Sequence[Callable[..., T]], *operands: Any) -> T:
    """`lax.switch`, with what the branches return marked as varying wherever one of them makes it so."""
    if inside_shard_map():
        shapes = [jax.eval_shape(branch, *operands) for branch in branches]

        def marked(branch: Callable[..., T]) -> Callable[..., T]:
            def run(*operands: Any) -> T:
                out = branch(*operands)
                for shape in shapes:
                    out = jax.tree.map(vary_like, out, shape)
                return out

            return run

        branches = [marked(branch) for branch in branches]
    return lax.switch(index, branches, *operands)


def _marked(body: Callable[[Carry], Carry], start: Carry) -> Carry:
    if not inside_shard_map():
        return start
    for _ in range(len(jax.tree.leaves(start)) + 1):  # each round marks at least one more leaf, or ends
        after = jax.eval_shape(body, start)
        marked = jax.tree.map(vary_like, start, after)
        if jax.tree.map(_axes, marked) == jax.tree.map(_axes, start):
            return marked
        start = marked
    return start


def _axes(x: Any) -> frozenset:
    kind = (jax.typeof(x) if isinstance(x, jax.Array) else x).manual_axis_type
    return frozenset() if kind is None else frozenset(kind.varying)


def inside_shard_map() -> bool:
    """Whether the code being traced runs per device, under `jax.shard_map`."""
    return bool(jax.sharding.get_abstract_mesh().manual_axes)


def vary_like(x: Any, like: Any) -> Any:
    """`x` marked as varying along the mesh axes along which `like` varies; outside `shard_map`, `x`."""
    if not inside_shard_map():
        return x
    missing = tuple(_axes(like) - _axes(x))
    return lax.pcast(x, missing, to="varying") if missing else x


def vary_together(tree: T) -> T:
    """Every array of `tree` marked as varying along the axes along which any of them does; outside `shard_map`, `tree`.

    A custom derivative rule sees all its arguments with one type, so they are given one before.
    """
    if not inside_shard_map():
        return tree
    arrays = [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array)]
    axes = frozenset().union(*(_axes(leaf) for leaf in arrays))

    def vary(leaf: Any) -> Any:
        missing = tuple(axes - _axes(leaf)) if isinstance(leaf, jax.Array) else ()
        return lax.pcast(leaf, missing, to="varying") if missing else leaf

    return jax.tree.map(vary, tree)


def anywhere(predicate: Array) -> Array:
    """Whether `predicate` holds somewhere, also in other elements of a batch: `lax.cond` on it stays a branch."""
    return eqxi.unvmap_any(predicate)


def only_where(wanted: Any, compute: Callable[[], T], otherwise: T) -> T:
    """`compute()` if `wanted`, else `otherwise`: a conditional that stays one in a batch.

    `jax.vmap` turns `lax.cond` into both branches and a selection; asked whether *any* element wants it, it stays a
    branch. (So does a loop of at most one round, but what does not depend on its carry is moved out, and always runs.)
    """
    wanted = jnp.asarray(wanted)
    found = switch(anywhere(wanted).astype(jnp.int32), [lambda: otherwise, compute])
    return jax.tree.map(lambda new, old: jnp.where(wanted, new, old), found, otherwise)


def one_by_one(function: Callable[..., T]) -> Callable[..., T]:
    """`function`, which `jax.vmap` on a CPU turns into a loop over the batch and elsewhere into a batch as usual.

    On a CPU LAPACK takes the matrices of a batch one after another in any case, while a loop lets each element stop at
    its own last step and stay in the cache. `function` takes and returns pytrees of arrays and is not differentiated.
    """
    return jax.custom_batching.sequential_vmap(function) if jax.default_backend() == "cpu" else function
