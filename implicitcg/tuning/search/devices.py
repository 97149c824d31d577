"""Independent parts of a criterion on several devices: folds, starting points, data sets.

Every device runs its own loops on its own parts (`jax.shard_map`), so none waits for the slowest step of another, and
only the results meet. A mesh may span several processes (`jax.distributed`): each of them then runs the same search on
the same numbers, and holds all data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float

__all__ = ["Lanes", "Spread", "axis_of"]


def axis_of(mesh: Mesh) -> str:
    """The name of the only axis of `mesh`.

    Raises:
        TypeError: no mesh. ValueError: one of several axes.
    """
    if not isinstance(mesh, Mesh):
        raise TypeError(
            f'`mesh` must be a jax.sharding.Mesh, such as jax.make_mesh((8,), ("parts",)), and is {mesh!r}.'
        )
    if len(mesh.axis_names) != 1:
        raise ValueError(f"`mesh` must have one axis and has {mesh.axis_names}: devices are dealt along one list.")
    return mesh.axis_names[0]


def dealt(tree: Any, mesh: Mesh) -> tuple[Any, int]:
    """Arrays of one leading axis, dealt to the devices of `mesh` and filled up with repetitions; and that length."""
    axis, leaves = axis_of(mesh), jax.tree.leaves(tree)
    sizes = {np.shape(leaf)[0] if np.ndim(leaf) else 0 for leaf in leaves}
    if len(sizes) != 1 or 0 in sizes:
        raise ValueError(f"All arrays need one leading axis of the same length, one entry a part; these have {sizes}.")
    count = sizes.pop()
    order = np.arange(-(-count // mesh.size) * mesh.size) % count

    def deal(leaf: Any) -> Array:
        rows = np.asarray(leaf)[order]
        sharding = NamedSharding(mesh, PartitionSpec(axis))
        return jax.make_array_from_callback(rows.shape, sharding, lambda place: rows[place])

    return jax.tree.map(deal, tree), count


@final
class Lanes:
    """`function(common, part)` for many parts at once, on the devices of `mesh`; every process gets all results."""

    def __init__(self, function: Callable[[Any, Any], Any], mesh: Mesh):
        self.mesh, axis = mesh, axis_of(mesh)
        each, whole = PartitionSpec(axis), PartitionSpec()
        spread = jax.shard_map(jax.vmap(function, in_axes=(None, 0)), mesh=mesh, in_specs=(whole, each), out_specs=each)
        self._program = jax.jit(spread, out_shardings=NamedSharding(mesh, whole))

    def __call__(self, common: Any, parts: Any) -> Any:
        """The results as NumPy arrays, one row a part."""
        parts, count = dealt(parts, self.mesh)
        common = jax.tree.map(np.asarray, common)
        return jax.tree.map(lambda leaf: np.asarray(leaf)[:count], self._program(common, parts))


@final
class Spread:
    """A criterion that is a mean over parts, each on one of several devices: `mean_k loss(theta, parts[k])`.

    Parts may be data sets, folds (as weights of rows), bootstrap samples, images. It is an ordinary function of
    `theta`: tune it, or differentiate it yourself.

    Args:
        loss: `(theta, part) -> scalar`, path differentiable, built with `icg.solve`.
        parts: a tree of arrays with one leading axis, an entry a part; a `part` is the tree without that axis.
        mesh: one axis of devices, of one or of several processes; by default all devices there are.

    Raises:
        ValueError: parts of different length; a mesh of several axes.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> X, y = jnp.stack([jnp.eye(2)] * 3), jnp.array([[2.0, 1.0], [1.0, 3.0], [0.0, 2.0]])
        >>> def size(theta, part):
        ...     return jnp.sum(icg.solve(icg.lasso(part["X"], part["y"], theta)).value)
        >>> round(float(icg.tuning.Spread(size, {"X": X, "y": y})(jnp.asarray(0.25))), 4)
        2.1667

    Source: jax.shard_map, https://docs.jax.dev/en/latest/notebooks/shard_map.html.
    """

    def __init__(self, loss: Callable[[Any, Any], Any], parts: Any, mesh: Mesh | None = None):
        if not callable(loss):
            raise TypeError(f"`loss` must be a function (theta, part) -> scalar, and is a {type(loss).__name__}.")
        mesh = jax.make_mesh((len(jax.devices()),), ("parts",)) if mesh is None else mesh
        self.mesh, axis = mesh, axis_of(mesh)
        self.parts, count = dealt(parts, mesh)
        room = -(-count // mesh.size) * mesh.size
        self._shares, _ = dealt(np.where(np.arange(room) < count, 1 / count, 0.0), mesh)

        def local(theta: Any, parts: Any, shares: Array) -> Array:
            losses = jax.vmap(loss, in_axes=(None, 0))(theta, parts)
            if losses.ndim != 1:
                raise ValueError(f"`loss` must return a scalar, and returned shape {losses.shape[1:]}: take its mean.")
            return lax.psum(jnp.sum(losses * shares.astype(losses.dtype)), axis)

        each, whole = PartitionSpec(axis), PartitionSpec()
        self._program = jax.shard_map(local, mesh=mesh, in_specs=(whole, each, each), out_specs=whole)

    def __call__(self, theta: Any) -> Float[Array, ""]:
        """The mean; works under `jit` and `grad`."""
        return self._program(theta, self.parts, self._shares)
