"""The one place where a branch is picked at a kink: an identity that the rest of this floor can see.

Every derivative rule of the library that meets a kink computes the weight of each branch and passes it through
`choose`. To JAX the primitive is the identity on its first argument, with derivative zero. To `with_ties`, `kinks`
and `conservative_jacobian`, which read the derivative program, it is a named place where another element of the
conservative Jacobian can be put in.
"""

from jax import Array, lax
from jax import numpy as jnp
from jax.interpreters import ad, batching, mlir
from jaxtyping import Float, Int

from ..base import jaxprs

choice_p = jaxprs.Primitive("nonsmooth_choice")

# kind="interval": independent weights in [0, 1], one a scalar kink.
# kind="simplex":  weights summing to one along the last axis, one a candidate.
# kind="order":    a sorting permutation along the last axis, exchangeable inside a run of ties.
# kind="index":    one-hot weights along the last axis; only vertices make sense.
# kind="ball":     a vector of norm at most one along the last axis; distance has one entry a vector, in column 0.
# kind="jump", "unbounded", "multiplicity": nothing to choose, only to report.
CHOOSABLE = ("interval", "simplex", "order", "index", "ball")


@choice_p.def_impl
def _evaluate(default, distance, **_):
    return default


@choice_p.def_abstract_eval
def _shape(default, distance, **_):
    return default


def _batch(arguments, axes, **parameters):
    """One leading batch axis on both, so that the last axis keeps its meaning."""
    (size,) = {a.shape[i] for a, i in zip(arguments, axes, strict=False) if i is not None}
    moved = [
        lax.broadcast(a, (size,)) if i is None else jnp.moveaxis(a, i, 0) for a, i in zip(arguments, axes, strict=False)
    ]
    return choice_p.bind(*moved, **parameters), 0


batching.primitive_batchers[choice_p] = _batch
ad.defjvp(choice_p, None, None)  # a branch is locally constant: zero tangent, in both modes
mlir.register_lowering(choice_p, lambda ctx, default, distance, **_: [default])


def _bind(default: Array, distance: Array, name: str, kind: str, where: str, keep: int = 0) -> Array:
    default, distance = jnp.asarray(default), jnp.asarray(distance)
    if default.shape != distance.shape:
        raise ValueError(
            f"The kink {name!r} has weights of shape {default.shape} and distances of shape {distance.shape}. "
            "Give one distance for every weight: broadcast the distance before the call."
        )
    return choice_p.bind(default, distance, name=name, kind=kind, where=where, keep=keep)


def choose(
    default: Float[Array, "*shape"], distance: Float[Array, "*shape"], *, name: str, where: str = ""
) -> Float[Array, "*shape"]:
    """Return the weights of the active (upper) branch, and tell the library that a choice is made here.

    The value is `default`. Call it inside a derivative rule, and build the Jacobian element from what it returns:
    `w * upper + (1 - w) * lower`.

    Arguments:
        default: weights in [0, 1], one a scalar kink: 1 is the active or upper branch, 0 the other one, and the
            documented tie rule on the kink itself.
        distance: how far each is from its kink, nonnegative; entries with `distance <= tol` are ambiguous.
        name: what the kink is called in reports and in rules of `with_ties`.
        where: the place in the source; left empty, the report names the line that called the enclosing function.

    Raises: `ValueError` when the shapes differ.

    >>> import jax, jax.numpy as jnp
    >>> @jax.custom_jvp
    ... def relu(x):
    ...     return jnp.maximum(x, 0)
    >>> @relu.defjvp
    ... def rule(primals, tangents):
    ...     (x,), (t,) = primals, tangents
    ...     return relu(x), choose((x > 0).astype(x.dtype), jnp.abs(x), name="relu") * t
    >>> float(jax.grad(relu)(jnp.array(0.0)))
    0.0
    """
    return _bind(default, distance, name, "interval", where)


def choose_simplex(
    default: Float[Array, "*shape n"], distance: Float[Array, "*shape n"], *, name: str, where: str = ""
) -> Float[Array, "*shape n"]:
    """Return weights of `n` candidates that sum to one along the last axis (a maximum over `n` entries).

    The vertices are the unit vectors of the candidates with `distance <= tol`.

    Arguments: `default`, nonnegative and summing to one along the last axis. `distance`, of each candidate from being
    the best one, zero for the best.
    """
    return _bind(default, distance, name, "simplex", where)


def choose_index(
    default: Float[Array, "*shape n"], distance: Float[Array, "*shape n"], *, name: str, where: str = ""
) -> Float[Array, "*shape n"]:
    """Return a one-hot choice among `n` candidates, for pieces that cannot be averaged, such as an index."""
    return _bind(default, distance, name, "index", where)


def choose_order(
    default: Int[Array, "*shape n"], gap: Float[Array, "*shape n"], *, name: str, keep: int = 0, where: str = ""
) -> Int[Array, "*shape n"]:
    """Return a sorting permutation along the last axis, in another order inside every run of ties.

    Arguments: `default`, the permutation found (`argsort`). `gap`, from each sorted entry to the next one; the last
    entry is not read. Entries `i` and `i + 1` may be exchanged when `gap[i] <= tol`. `keep`, how many leading entries
    are used afterwards (0: all): orders that differ only beyond them count once.
    """
    return _bind(default, gap, name, "order", where, keep)


def choose_ball(
    default: Float[Array, "*shape n"], distance: Float[Array, "*shape"], *, name: str, where: str = ""
) -> Float[Array, "*shape n"]:
    """Return a vector of norm at most one along the last axis (the gradient of a Euclidean norm; any at the origin)."""
    distance = jnp.broadcast_to(jnp.asarray(distance)[..., None], jnp.shape(default))
    return _bind(default, distance, name, "ball", where)


def report_choice(default: Array, distance: Array, *, name: str, kind: str, where: str = "") -> Array:
    """Return `default`, and let the report see something that cannot be chosen: a jump, an infinite slope."""
    return _bind(default, distance, name, kind, where)
