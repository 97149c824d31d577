"""`DEQ`, `MonotoneDEQ` and `ContractiveDEQ` as Flax NNX modules, on batches, as Flax has them. Needs `flax`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from ..base import needs
from ..core import Solution
from . import affine, layer

if TYPE_CHECKING:
    from flax import nnx
else:
    nnx = needs("flax.nnx", "flax", "icg.deq.flax")


class DEQ(nnx.Module):
    """`z = cell(z, x)` for an NNX cell, on batches: the first axis of `x` and of the result is the batch.

    Random streams in the cell (as of `nnx.Dropout`) are read once a solve and sample, so that a mask stays the same on
    the way to the equilibrium; every call draws new ones.

    Args:
        cell: an `nnx.Module` called as `cell(z, x)` on one sample, without other state that a call changes.
        state: the shape of one sample's unknown.
        **options: of `icg.deq.DEQ`.

    Example:
        >>> import jax, jax.numpy as jnp, implicitcg as icg
        >>> from flax import nnx
        >>> class Cell(nnx.Module):
        ...     def __init__(self, rngs):
        ...         self.z, self.x = nnx.Linear(4, 4, rngs=rngs), nnx.Linear(2, 4, rngs=rngs)
        ...     def __call__(self, z, x):
        ...         return jnp.tanh(0.3 * self.z(z) + self.x(x))
        >>> icg.deq.flax.DEQ(Cell(nnx.Rngs(0)), jnp.zeros(4))(jnp.ones((5, 2))).shape
        (5, 4)
    """

    def __init__(self, cell: nnx.Module, state: Any, **options: Any):
        if not isinstance(cell, nnx.Module):
            raise TypeError(f"the cell must be an nnx.Module, and is a {type(cell).__name__}.")
        self.cell = cell
        self._layer = _Static(layer.DEQ(_absent, state, **options))

    def __call__(self, x: Any) -> Any:
        """The equilibria of a batch; a failure raises with advice."""
        return self.solve(x).value

    def solve(self, x: Any, *, throw: bool = True) -> Solution:
        """The equilibria with status, residual and iterations, one a sample; see `icg.deq.DEQ.solve`."""
        definition, random, rest = nnx.split(self.cell, nnx.RngState, ...)
        size = jax.tree.leaves(x)[0].shape[0]

        def cell(z: Any, inputs: Any) -> Any:
            random, rest, x = inputs
            return nnx.merge(definition, random, rest, copy=True)(z, x)  # a call counts its draws on the copy

        solver = eqx.tree_at(lambda m: m.cell, self._layer.module, cell)
        random, axes = _forked(random, size)
        found = jax.vmap(lambda r, x: solver.solve((r, rest, x), throw=throw), in_axes=(axes, 0))(random, x)
        for path, variable in nnx.iter_graph(self.cell):
            del path
            if isinstance(variable, nnx.RngCount):
                variable[...] = variable[...] + 1
        return found


def _absent(z: Any, x: Any) -> Any:
    """Stands for the cell where a layer is made without one."""
    del x
    return z


def _forked(random: Any, size: int) -> tuple[Any, Any]:
    """The random streams with a key for each sample, and which of them carry a sample axis."""

    def is_key(leaf: Any) -> bool:
        return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)

    def fork(leaf: Any) -> Any:
        return jax.vmap(lambda i: jax.random.fold_in(leaf, i))(jnp.arange(size)) if is_key(leaf) else leaf

    return jax.tree.map(fork, random), jax.tree.map(lambda leaf: 0 if is_key(leaf) else None, random)


class _AffineLayer(nnx.Module):
    """An affine layer of `icg.deq` whose weights are `nnx.Param`s of the same names."""

    def __init__(self, module: affine.AbstractAffineLayer, names: tuple[str, ...]):
        for name in names:
            setattr(self, name, nnx.Param(getattr(module, name)))
        self._names = names
        self._layer = _Static(eqx.tree_at(lambda m: [getattr(m, name) for name in names], module, [None] * len(names)))

    def equinox(self) -> Any:
        """The same layer as an Equinox module, for `icg.deq.certify`."""
        names = self._names
        weights = [getattr(self, name)[...] for name in names]
        return eqx.tree_at(
            lambda m: [getattr(m, name) for name in names],
            self._layer.module,
            weights,
            is_leaf=lambda leaf: leaf is None,
        )

    def __call__(self, x: Array) -> Array:
        """The equilibria of a batch; a failure raises with advice."""
        return self.solve(x).value

    def solve(self, x: Array, *, throw: bool = True) -> Solution:
        """The equilibria with status, residual and iterations, one a sample; see `icg.deq.DEQ.solve`."""
        module = self.equinox()
        return jax.vmap(lambda x: module.solve(x, throw=throw))(x)


class MonotoneDEQ(_AffineLayer):
    """`icg.deq.MonotoneDEQ` with its weights as `nnx.Param`, on batches.

    Args:
        in_size, size: as there.
        rngs: `nnx.Rngs`; the stream `params` is used.
        **options: of `icg.deq.MonotoneDEQ`, `image` for convolutions among them.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> from flax import nnx
        >>> icg.deq.flax.MonotoneDEQ(2, 4, rngs=nnx.Rngs(0))(jnp.ones((5, 2))).shape
        (5, 4)
    """

    def __init__(self, in_size: int, size: int, *, rngs: nnx.Rngs, **options: Any):
        super().__init__(affine.MonotoneDEQ(in_size, size, key=rngs.params(), **options), ("A", "S", "U", "b"))


class ContractiveDEQ(_AffineLayer):
    """`icg.deq.ContractiveDEQ` with its weights as `nnx.Param`, on batches; arguments as for `MonotoneDEQ`."""

    def __init__(self, in_size: int, size: int, *, rngs: nnx.Rngs, **options: Any):
        super().__init__(affine.ContractiveDEQ(in_size, size, key=rngs.params(), **options), ("M", "U", "b"))


class _Static:
    """An Equinox module without weights that NNX keeps in the static part of a layer, compared by its contents."""

    def __init__(self, module: Any):
        self.module = module

    def __hash__(self) -> int:
        return hash(jax.tree.structure(self.module))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Static) and bool(eqx.tree_equal(self.module, other.module))
