"""What may be claimed of a batch of equilibria of a layer whose `W` is monotone or a contraction."""

from __future__ import annotations

import dataclasses
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..base import is_traced
from ..core import Solution
from .affine import AbstractAffineLayer


@dataclasses.dataclass(frozen=True)
class LayerCertificate:
    """What holds for a batch of equilibria.

    Attributes:
        verdict: `"certified"` where `W` is monotone beyond rounding and every sample converged: the equilibria are
            unique and every element of the conservative Jacobian is invertible, at any number of kinks. Else
            `"unknown"`.
        modulus: the `m` of `I - (W + W^T)/2 >= m I`, measured on the weights.
        condition: `(1 + ||W||) (m + ||W||) / m`, an upper bound of the condition number of `I - D W` over all slopes.
        error: the largest bound `(1 + ||I - W||) / m * residual` on the distance to the true equilibrium.
        margin: the smallest distance of a unit from its kink.
        certain: the share of units whose side of the kink is certain: further from it than their error bound.
        samples: how many there were.
        converged: the share of them that converged.
        reason: why, in a sentence.
    """

    verdict: Literal["certified", "unknown"]
    modulus: float
    condition: float
    error: float
    margin: float
    certain: float
    samples: int
    converged: float
    reason: str

    def __str__(self) -> str:
        lines = [
            f"{self.verdict}: {self.reason}",
            f"  samples               {self.samples}  ({100 * self.converged:.4g} % converged)",
            f"  distance to z* below  {self.error:.2g}",
            f"  margin                {self.margin:.2g}  ({100 * self.certain:.4g} % of the units certain)",
            f"  condition below       {self.condition:.3g}",
        ]
        return "\n".join(lines)


def certify(layer: AbstractAffineLayer, x: Float[Array, "batch ..."]) -> LayerCertificate:
    """Certify a monotone or contractive layer on a batch of inputs, whatever the number of kinks.

    The bound `||z - z*|| <= (1 + ||I - W||) / m * ||z - s(W z + b)||`, times the norm of a unit's row of `W`, bounds
    how far its preactivation is off; a unit further from its kink than that is on the right side. Where all are, one
    Newton step (`polish=True`) gives the equilibrium, and its derivative, to rounding.

    Args:
        layer: a trained `MonotoneDEQ` or `ContractiveDEQ`.
        x: inputs, samples first.

    Returns:
        A `LayerCertificate`; `print` it.

    Raises:
        TypeError: inside `jit`, or for a layer of another kind, whose samples `icg.certify` judges one by one.

    Example:
        >>> import jax, jax.numpy as jnp, implicitcg as icg
        >>> layer = icg.deq.MonotoneDEQ(2, 4, polish=True, key=jax.random.key(0))
        >>> found = icg.deq.certify(layer, jnp.ones((3, 2)))
        >>> found.verdict, found.certain
        ('certified', 1.0)
    """
    if not isinstance(layer, AbstractAffineLayer):
        raise TypeError(
            f"icg.deq.certify takes a MonotoneDEQ or a ContractiveDEQ and got {type(layer).__name__}. For a sample of "
            "a free cell: `icg.certify(layer.problem(x), layer.solve(x))`."
        )
    if is_traced((layer, x)):
        raise TypeError("icg.deq.certify needs concrete numbers; call it outside jit, grad and vmap.")
    x = jnp.asarray(x)
    solution, distance = _examined(layer, x)
    problem, distance = layer.problem(x[0]), np.asarray(distance, float)
    modulus, size = problem.modulus(), float(np.linalg.norm(problem.map.blocks(), 2, axis=(-2, -1)).max())
    eps = float(jnp.finfo(problem.bias.dtype).eps)
    length = np.linalg.norm(np.asarray(solution.root, float).reshape(len(x), -1), axis=1)
    # the residual is known up to the rounding of z - s(W z + b), whose terms are about of these sizes
    residual = np.asarray(solution.residual, float) + 2 * eps * (1 + (1 + size) * length)
    error = problem.error_bound(1.0) * residual
    bound = (problem.map.row_norm() * error).reshape(-1, *[1] * (distance.ndim - 1))
    rounding = 10 * problem.bias.size * eps * max(1.0, size)
    converged = float(np.mean(np.asarray(solution.converged)))
    sound = modulus > rounding
    if not sound:
        reason = f"W is not monotone beyond rounding (m = {modulus:.2g}); its weights are not what the layer promises"
    elif converged < 1:
        reason = f"W is monotone with m = {modulus:.3g}, but not every sample converged, and those are no equilibria"
    else:
        kind = "a contraction" if size < 1 else "monotone"
        reason = f"W is {kind} (m = {modulus:.3g}), so every element at every equilibrium is invertible"
    return LayerCertificate(
        "certified" if sound and converged == 1 else "unknown",
        modulus,
        (1 + size) * (modulus + size) / modulus if sound else float("inf"),
        float(np.max(error, initial=0.0)),
        float(np.min(distance, initial=np.inf)),
        float(np.mean(distance > bound)),
        len(x),
        converged,
        reason,
    )


@eqx.filter_jit
def _examined(layer: AbstractAffineLayer, x: Array) -> tuple[Solution, Array]:
    """The solutions of a batch, and the distance of every unit from its kink."""

    def one(x: Array) -> tuple[Solution, Array]:
        solution, problem = layer.solve(x, throw=False), layer.problem(x)
        return solution, problem.activation.distance(problem.preactivation(solution.root))

    return jax.vmap(one)(x)
