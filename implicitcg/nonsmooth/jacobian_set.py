"""`JacobianSet`: the Jacobians that automatic differentiation can return at a point, and their convex hull."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import hull


@dataclasses.dataclass(frozen=True)
class JacobianSet:
    """The autodiff set of a function at a point, by its vertices.

    Every vertex is what automatic differentiation returns for one choice of branch at each kink, so the set is a
    conservative Jacobian of the function: it contains Clarke's in its convex hull, and may exceed it (a constant can
    have three "derivatives"). Its hull, not the list of vertices, is what calculus of nonsmooth functions speaks of.

    Attributes:
        vertices: `(N, *out, *in)`; for a tree of inputs a tree of such arrays, in the shape of the input.
        exhaustive: whether every combination was evaluated. If not, the vertices are a sample and the hull a part.
        choices: how many combinations of branches there are.
        kinks: how many entries of the program sit on a kink.
        jumps: how many combinations were left out because they change the value: a discontinuity.
    """

    vertices: Any
    exhaustive: bool
    choices: int
    kinks: int
    jumps: int
    out_shape: tuple[int, ...]

    @property
    def _points(self) -> np.ndarray:
        leaves = [np.asarray(leaf) for leaf in jax.tree_util.tree_leaves(self.vertices)]
        return np.concatenate([leaf.reshape(len(leaf), -1).astype(float) for leaf in leaves], 1)

    def __len__(self) -> int:
        return len(jax.tree_util.tree_leaves(self.vertices)[0])

    def distance(self, J: Any) -> float:
        """The distance, in the Frobenius norm, from a matrix `J` of shape `(*out, *in)` to the convex hull."""
        leaves, shapes = jax.tree_util.tree_leaves(J), [v.shape[1:] for v in jax.tree_util.tree_leaves(self.vertices)]
        if [np.shape(leaf) for leaf in leaves] != shapes:
            raise ValueError(f"J has shapes {[np.shape(leaf) for leaf in leaves]}; the elements of this set {shapes}.")
        return hull.distance(self._points, np.concatenate([np.ravel(leaf) for leaf in leaves]))

    def contains(self, J: Any, tol: float = 1e-8) -> bool:
        """Whether `J` lies in the convex hull, to within `tol` of the size of the largest vertex.

        `True` is right always; `False` only when the set is `exhaustive`.
        """
        return self.distance(J) <= tol * (1 + float(np.sqrt((self._points**2).sum(1).max())))

    def min_norm(self) -> Any:
        """The smallest element of the convex hull, in the shape of the input; for a scalar function only.

        Zero here is what a stationary point means: `0 in conv J`. Away from zero it is the direction of steepest
        descent, reversed.
        """
        if self.out_shape != ():
            raise ValueError(
                f"min_norm needs a scalar function; this one has values of shape {self.out_shape}. Compose it with a "
                "scalar loss before asking for its set."
            )
        nearest, _ = hull.nearest_to_origin(self._points)
        leaves, tree = jax.tree_util.tree_flatten(self.vertices)
        ends = np.cumsum([int(np.prod(leaf.shape[1:])) for leaf in leaves])
        parts = np.split(nearest, ends[:-1])
        shaped = [jnp.asarray(p.reshape(v.shape[1:]), v.dtype) for p, v in zip(parts, leaves, strict=False)]
        return jax.tree_util.tree_unflatten(tree, shaped)

    def is_stationary(self, tol: float = 1e-8) -> bool:
        """Whether zero lies in the convex hull, to within `tol` times one plus the size of the largest vertex."""
        leaves = jax.tree_util.tree_leaves(self.min_norm())
        norm = float(np.sqrt(sum(float((np.asarray(leaf, float) ** 2).sum()) for leaf in leaves)))
        return norm <= tol * (1 + float(np.sqrt((self._points**2).sum(1).max())))

    def __str__(self) -> str:
        many = f"{len(self)} distinct " + ("element" if len(self) == 1 else "elements")
        if self.kinks == 0:
            return "The function is differentiable along this program: no kink here, one Jacobian."
        text = f"{many} from {self.choices} combinations of branches at {self.kinks} kinks"
        text += "." if self.exhaustive else ", sampled: the hull found is a part of the whole."
        if self.jumps:
            text += f" {self.jumps} combinations change the value (a discontinuity) and are left out."
        text += (
            "\nThis is the autodiff set: a conservative Jacobian of the function. Its convex hull contains Clarke's "
            "Jacobian and may exceed it."
        )
        return (
            text
            + "\n"
            + str(self.vertices if len(self) <= 8 else jax.tree_util.tree_map(lambda v: v[:8], self.vertices))
        )
