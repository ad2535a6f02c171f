"""Weighted edges in their one canonical form: i < j, in lexicographic order, no loops, each pair once."""

import numpy as np


def canonical(edges: np.ndarray, couplings: float | np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Orders edges and adds up the couplings of repeated ones, (i, j) and (j, i) being the same edge.

    **Arguments:** `edges`, integers, shape (e, 2); `couplings`, shape (e,), or one number for all; `n`, sites.

    **Returns:** edges int64 and couplings float64 in canonical form; couplings that cancel stay, as zeros.

    **Raises:** `ValueError` for a wrong shape, an end that is not a site, or a loop.
    """
    pairs = np.asarray(edges)
    pairs = pairs.reshape(0, 2).astype(np.int64) if pairs.size == 0 else pairs
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise ValueError(f"edges are integers of shape (e, 2), but shape {pairs.shape} of type {pairs.dtype} came")
    weights = np.asarray(couplings)
    if weights.dtype.kind not in "iuf" or weights.shape not in ((), (len(pairs),)):
        raise ValueError(f"couplings are numbers of shape ({len(pairs)},), but {weights.dtype} {weights.shape} came")
    weights = np.array(np.broadcast_to(weights, (len(pairs),)), np.float64)
    if len(pairs) and not 0 <= pairs.min() <= pairs.max() < n:
        raise ValueError(f"edges join sites 0 to {n - 1}, but {pairs.min()} to {pairs.max()} came")
    low, high = pairs.min(axis=1).astype(np.int64), pairs.max(axis=1).astype(np.int64)
    loops = np.flatnonzero(low == high)
    if loops.size:
        raise ValueError(f"edge {loops[0]} joins site {low[loops[0]]} to itself; a loop is a constant, not a coupling")
    return _merge(low, high, weights, n)


def check_canonical(edges: np.ndarray, n: int) -> None:
    """**Raises:** `ValueError` unless `edges` are in canonical form and join sites below `n`."""
    if not len(edges):
        return
    low, high = edges[:, 0], edges[:, 1]
    if not 0 <= edges.min() <= edges.max() < n:
        raise ValueError(f"edges join sites 0 to {n - 1}, but {edges.min()} to {edges.max()} came")
    if not ((low < high).all() and (np.diff(low * n + high) > 0).all()):
        raise ValueError("edges must be i < j, in lexicographic order and each once; use Ising.from_arrays")


def _merge(low: np.ndarray, high: np.ndarray, weights: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    keys = low * n + high
    if not (np.diff(keys) > 0).all():
        order = np.argsort(keys, kind="stable")
        keys, weights = keys[order], weights[order]
        first = np.flatnonzero(np.diff(keys, prepend=-1))
        keys, weights = keys[first], np.add.reduceat(weights, first)
    return np.stack(np.divmod(keys, n) if n else (keys, keys), axis=1), weights
