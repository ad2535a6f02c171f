"""Random regular graphs: every site has the same degree, no loops, no repeated bonds.

Half-bonds are paired at random (the configuration model); each loop or repeated bond is then switched with a random
bond, (u, v), (x, y) → (u, y), (x, v), whenever both new bonds are allowed. The law is uniform up to O(degree²/n).
Degrees above (n−1)/2 are drawn as complements. Cost: linear in the bonds, and about degree² switches.
Source: McKay & Wormald 1990, J. Algorithms 11, 52 (switchings).
"""

import numpy as np

_TRIES = 1000  # switches tried a bad bond; a dense graph of a few sites may need a fresh pairing


def random_regular(degree: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draws a simple regular graph.

    **Arguments:** `degree` below `n`, `degree * n` even.

    **Returns:** its bonds i < j in lexicographic order, shape (degree·n/2, 2).
    """
    if 2 * degree > n - 1:
        others = random_regular(n - 1 - degree, n, rng)
        kept = np.triu(np.ones((n, n), bool), 1)
        kept[others[:, 0], others[:, 1]] = False
        return np.stack(np.nonzero(kept), axis=1).astype(np.int64, copy=False)
    while True:
        ends = rng.permutation(np.repeat(np.arange(n, dtype=np.int64), degree)).reshape(-1, 2)
        if _switch(ends, n, rng):
            ends.sort(axis=1)
            return ends[np.lexsort((ends[:, 1], ends[:, 0]))]


def _switch(ends: np.ndarray, n: int, rng: np.random.Generator) -> bool:
    """Switches loops and repeated bonds away, in place; False when that gets nowhere."""
    keys = ends.min(axis=1) * n + ends.max(axis=1)
    _, first = np.unique(keys, return_index=True)
    good = np.zeros(len(ends), bool)
    good[first] = True
    good &= ends[:, 0] != ends[:, 1]
    there = set(keys[good].tolist()) if not good.all() else set()
    for bad in np.flatnonzero(~good):
        for other in rng.integers(0, len(ends), _TRIES):
            (u, v), (x, y) = ends[bad].tolist(), ends[other].tolist()
            new = {min(u, y) * n + max(u, y), min(x, v) * n + max(x, v)}
            if good[other] and u != y and x != v and len(new) == 2 and not new & there:
                there.discard(int(min(x, y) * n + max(x, y)))
                there |= new
                ends[bad], ends[other], good[bad] = (u, y), (x, v), True
                break
        else:
            return False
    return True
