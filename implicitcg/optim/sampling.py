"""Mini-batches by reshuffled epochs."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np


def reshuffled(key: jax.Array | int, count: int, batch_size: int, *, drop_last: bool = False) -> Iterator[np.ndarray]:
    """Indices of mini-batches for ever: each epoch is a new permutation of `0, ..., count - 1`, cut into batches.

    Every sample is seen once an epoch, so that the gradients of an epoch sum to the gradient of the whole loss.

    Args:
        key: a JAX random key, or an integer to make one; equal keys give equal batches.
        count: number of samples.
        batch_size: samples a batch, at most `count`.
        drop_last: leave the incomplete batch at the end of an epoch out, so that all batches have one shape (and a
            compiled step is compiled once).

    Yields:
        Index arrays of shape `(batch_size,)`, the last of an epoch perhaps shorter.

    Raises:
        ValueError: `batch_size` is not between 1 and `count`.

    Example:
        >>> import itertools, jax, numpy as np
        >>> from implicitcg.optim import reshuffled
        >>> epoch = list(itertools.islice(reshuffled(jax.random.key(0), 5, 2), 3))
        >>> [len(batch) for batch in epoch], sorted(np.concatenate(epoch).tolist())
        ([2, 2, 1], [0, 1, 2, 3, 4])
    """
    key = jax.random.key(key) if isinstance(key, int) else key
    if not 1 <= batch_size <= count:
        raise ValueError(f"batch_size must be between 1 and the number of samples, {count}, and is {batch_size}.")

    def batches(key: jax.Array) -> Iterator[np.ndarray]:
        while True:
            key, now = jax.random.split(key)
            order = np.asarray(jax.random.permutation(now, count))
            stop = count - count % batch_size if drop_last else count
            for start in range(0, stop, batch_size):
                yield order[start : start + batch_size]

    return batches(key)
