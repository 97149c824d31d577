"""A layer whose output is the equilibrium of any cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array, lax

from .. import adjoints
from ..core import AbstractAdjoint, AbstractSolver, Solution
from ..equations import FixedPoint, fixed_point
from ..solvers import Measured, Polished
from ..solving import solve
from .samples import backward_tolerance, cast, finite, presented, without_bad_numbers, working_dtype


class DEQ(eqx.Module):
    """`z = cell(z, x)`, solved to a tolerance and differentiated at the equilibrium.

    A layer acts on one sample, as Equinox modules do; `jax.vmap(layer)` makes a batch, in which every sample has its
    own status, count and method, and one that fails fails alone. Memory does not grow with the iterations.

    Args:
        cell: any callable `cell(z, *inputs) -> z`, an Equinox module or a function, with its parameters inside or among
            the inputs: the `fixed_point_fun(z, params, x)` of jaxopt is one too. With a `key` given to the layer it is
            called with `key=key`, the same one for the whole solve, so that a dropout mask is drawn once and the
            equilibrium is that of a fixed map.
        state: the shape of one sample's unknown: arrays or `jax.ShapeDtypeStruct`, any pytree of floats.
        tolerance: bounds `||z - cell(z, x)|| / max(1, ||z||)`, and the relative residual of the backward solve; by
            default `100 eps` for the first and `eps^{3/4}` for the second.
        solver, adjoint: how both are solved; by the measured contraction rate by default.
        polish: end with a Newton step on the pattern found, which takes the residual to rounding; the backward solve is
            then at least as tight as by default.
        dtype: solve in this dtype, to which parameters and inputs are converted. By default that of the state, and
            float32 where the state is of half precision, whose rounding is coarser than any useful tolerance. The
            result has the dtype of the state.

    Raises:
        TypeError: a cell that cannot be called, or a state that is not made of floats.
        ValueError: when it is called, a cell that does not keep the structure, shapes and dtypes of the state.

    Example:
        >>> import jax, jax.numpy as jnp, implicitcg as icg
        >>> layer = icg.deq.DEQ(lambda z, x: jnp.tanh(0.5 * z + x), jnp.zeros(2))
        >>> jax.vmap(layer)(jnp.zeros((3, 2))).shape
        (3, 2)

    Source: Bai, Kolter, Koltun, Deep equilibrium models, NeurIPS 2019.
    """

    cell: Callable[..., Any]
    shapes: tuple[jax.ShapeDtypeStruct, ...] = eqx.field(static=True)
    structure: Any = eqx.field(static=True)
    tolerance: float | None = eqx.field(static=True)
    solver: AbstractSolver | None
    adjoint: AbstractAdjoint | None
    polish: bool = eqx.field(static=True)
    dtype: Any = eqx.field(static=True)

    def __init__(
        self,
        cell: Callable[..., Any],
        state: Any,
        *,
        tolerance: float | None = None,
        solver: AbstractSolver | None = None,
        adjoint: AbstractAdjoint | None = None,
        polish: bool = False,
        dtype: Any = None,
    ):
        if not callable(cell):
            raise TypeError(f"the cell must be a function (z, x) -> z, and is a {type(cell).__name__}.")
        leaves, self.structure = jax.tree.flatten(state)
        self.shapes = tuple(jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves)
        if not leaves:
            raise TypeError("the state has no arrays. Pass the shape of one sample's unknown, such as jnp.zeros(64).")
        for leaf in self.shapes:
            if not jnp.issubdtype(leaf.dtype, jnp.floating):
                raise TypeError(
                    f"the state has a leaf of dtype {leaf.dtype}; an equilibrium is a point of real numbers. Pass what "
                    "is not one through the inputs."
                )
        self.cell, self.tolerance, self.solver, self.adjoint = cell, tolerance, solver, adjoint
        self.polish = polish
        self.dtype = working_dtype([leaf.dtype for leaf in self.shapes]) if dtype is None else jnp.dtype(dtype)

    def __call__(self, *inputs: Any, init: Any = None, key: Array | None = None) -> Any:
        """The equilibrium; a failure raises with advice, also inside `jit`."""
        return self.solve(*inputs, init=init, key=key).value

    def zeros(self) -> Any:
        """The default starting point, of the structure, shapes and dtypes of the state."""
        return self.structure.unflatten([jnp.zeros(leaf.shape, leaf.dtype) for leaf in self.shapes])

    def problem(self, *inputs: Any, key: Array | None = None) -> FixedPoint:
        """The equation `z = cell(z, *inputs)`, for `icg.solve` and `icg.certify`."""
        return fixed_point(_Cell(key is not None), cast(self.cell, self.dtype), key, *cast(inputs, self.dtype))

    def start(self, init: Any = None) -> Any:
        """A starting point in the dtype of the solve: `init`, or zeros."""
        if init is None:
            return cast(self.zeros(), self.dtype)
        init = jax.tree.map(jnp.asarray, init)
        leaves, structure = jax.tree.flatten(init)
        shapes = [leaf.shape for leaf in self.shapes]
        if structure != self.structure or [leaf.shape for leaf in leaves] != shapes:
            raise ValueError(
                f"init has shapes {[leaf.shape for leaf in leaves]} and the state {shapes}; start from a point of the "
                "structure and shapes of the state, for one sample. For a batch: `jax.vmap` over both."
            )
        return cast(init, self.dtype)

    def solve(self, *inputs: Any, init: Any = None, key: Array | None = None, throw: bool = True) -> Solution:
        """The equilibrium as a `Solution`, with status, residual and iterations, for logging and training.

        With `throw=False` a sample that fails keeps its best point and says so; `icg.deq.mean_converged` leaves it out
        of the loss. Where an input has NaN or infinite entries the sample is solved with zeros in its place and its
        status is `non_finite_input`; so one bad sample puts no NaN into the gradient of the others.

        Args:
            *inputs: what the cell takes after `z`, for one sample.
            init: where to start, as the state of a neighbouring input; zeros by default. It carries no derivative.
            key: handed to the cell, for dropout.
            throw: whether failures raise, with advice, also inside `jit`.
        """
        inputs = jax.tree.map(lambda leaf: jnp.asarray(leaf) if isinstance(leaf, float) else leaf, inputs)
        good = finite(inputs)
        if not throw:
            inputs = without_bad_numbers(inputs)
        solver = Measured(self.tolerance) if self.solver is None else self.solver
        solver = Polished(solver) if self.polish else solver
        dtype = self.shapes[0].dtype if self.dtype is None else self.dtype
        tolerance = backward_tolerance(self.tolerance, self.polish, dtype)
        adjoint = adjoints.Measured(tolerance) if self.adjoint is None else self.adjoint
        problem = self.problem(*inputs, key=key)
        solution = solve(problem, solver, self.start(init), adjoint=adjoint, throw=throw)
        return presented(solution, self.zeros(), good)


class _Cell(eqx.Module):
    """`(z, cell, key, *inputs) -> cell(z, *inputs)`: the cell is a parameter, so its arrays are differentiated."""

    keyed: bool = eqx.field(static=True)

    def __call__(self, z: Any, cell: Any, key: Any, *inputs: Any) -> Any:
        return cell(z, *inputs, key=key) if self.keyed else cell(z, *inputs)


def corrections(
    layer: DEQ, *inputs: Any, steps: Sequence[int], init: Any = None, key: Array | None = None
) -> list[Any]:
    """States on the way to the equilibrium, each after a number of plain iterations, for auxiliary losses.

    Each is one application of the cell to a state held still, so its gradient costs one step: fixed-point correction,
    which pulls the iterates towards the target and keeps the layer quick to solve.

    Args:
        layer: the layer, for one sample.
        *inputs: of the layer.
        steps: after how many iterations, each at least 1.
        init: where to start, as in `DEQ.solve`.
        key: handed to the cell, for dropout.

    Returns:
        One state for each of `steps`, in the dtype of the solve.

    Example:
        >>> import jax.numpy as jnp, implicitcg as icg
        >>> layer = icg.deq.DEQ(lambda z, x: 0.5 * z + x, jnp.zeros(()))
        >>> [float(z) for z in icg.deq.corrections(layer, jnp.ones(()), steps=(1, 2, 3))]
        [1.0, 1.5, 1.75]

    Source: Bai et al., Deep equilibrium optical flow estimation, CVPR 2022.
    """
    if not steps or min(steps) < 1:
        raise ValueError(f"steps is {list(steps)}; give the iterations to correct at, each at least 1.")
    problem = layer.problem(*inputs, key=key)
    still = eqx.combine(lax.stop_gradient(eqx.filter(problem.args, eqx.is_inexact_array)), problem.args)
    z, found = layer.start(init), {}
    for count in range(1, max(steps) + 1):
        z = lax.stop_gradient(z)
        if count in steps:
            found[count] = problem.function(z, *problem.args)
        z = problem.function(z, *still)
    return [found[count] for count in steps]
