"""The fixed part of an autoregressive network, from a run of mini-buckets: tables, frontiers, order of drawing.

    log p̃(x) = log U + Σ_v Σ_r c_r(x_v | rest),    c_r = F_r − m_r        (docs/theorems.md, theorems S1 and N2)

F_r is the joint of mini-bucket r and m_r its message. A variable below which no bucket is split has Σ exp c = 1
whatever the rest is: it is summed out exactly, and never drawn. i-bound 0 leaves each variable next to nothing to
start from, 1 about a tree, the width of a strip the strip. **Proves** nothing. **Cost** one visit of each joint entry.
"""

import math

import numpy as np

from calipers.bounds.frontier import needed
from calipers.exact.bucket_layout import MiniBucket
from calipers.exact.bucket_tree import Run
from calipers.exact.joints import fill
from calipers.variational.autoregressive import Network

_EVEN = 1e-9  # nats between a table and its flip that are rounding


def frontiers(n: int, scopes: list[tuple[int, ...]], order: list[int]) -> list[list[int]]:
    """For each variable, its later neighbours in the graph filled in by eliminating in `order`."""
    near: list[set[int]] = [set() for _ in range(n)]
    for scope in scopes:
        for v in scope:
            near[v].update(scope)
    found: list[list[int]] = [[] for _ in range(n)]
    for v in order:
        near[v].discard(v)
        found[v] = sorted(near[v])
        for u in found[v]:
            near[u] |= near[v]
            near[u].discard(v)
    return found


def network_of(run: Run, scopes: list[tuple[int, ...]]) -> Network:
    """The network's fixed part; `scopes` are those of the model, without the masks of the run."""
    tree, wanted = run.tree, needed(run)
    groups = [g for g in tree.groups if wanted[g[0].variable]][::-1]
    names = [g[0].variable for g in groups]
    row = {v: i for i, v in enumerate(names)}
    seen = frontiers(len(tree.sizes), scopes, [g[0].variable for g in tree.groups])
    place = dict(zip((g[0].variable for g in tree.groups), np.cumsum([0, *map(len, tree.groups)]).tolist(), strict=False))
    sizes = tree.sizes[names].tolist()
    k = max(sizes)
    codes = np.stack([_codes(size, k) for size in sizes])
    rest, stride, base, tables = _tables(run, groups, place, row, k)
    frontier, fan_in = _features([[row[u] for u in seen[v]] for v in names], sizes, codes.shape[2])
    odd = k == 2 and _flips(tables, base, groups)
    bias = np.array(0.0 if odd else 1.0)
    return Network(rest, stride, base, tables, frontier, fan_in, codes, bias)


def _codes(size: int, k: int) -> np.ndarray:
    """Features of each state, shape (k, f): a spin, or which state it is less its mean."""
    if k == 2:
        return np.array([[1.0], [-1.0]])
    codes = np.zeros((k, k))
    codes[:size, :size] = np.eye(size) - 1.0 / size
    return codes


def _features(seen: list[list[int]], sizes: list[int], f: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the features that each variable sees, the bias first, shape (v, p); and their numbers."""
    nothing, bias = len(seen) * f, len(seen) * f + 1
    rows = [[bias, *(u * f + j for u in s for j in range(1 if f == 1 else sizes[u]))] for s in seen]
    frontier = np.full((len(rows), max(map(len, rows))), nothing, np.int32)
    for i, own in enumerate(rows):
        frontier[i, : len(own)] = own
    return frontier, np.array([len(own) - 1 for own in rows], np.int64)


def _tables(
    run: Run, groups: list[list[MiniBucket]], place: dict[int, int], row: dict[int, int], k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Tables c_r below one another after a row of zeros, where each begins, and what it looks at."""
    most = max(len(g) for g in groups)
    arity = max(max(len(b.rest) for g in groups for b in g), 1)
    rest = np.full((len(groups), most, arity), len(groups), np.int32)
    stride, base = np.zeros_like(rest), np.zeros((len(groups), most), np.int32)
    tables, at = [np.zeros((1, k))], 1
    for i, group in enumerate(groups):
        for r, bucket in enumerate(group):
            tables.append(_logs(run, place[bucket.variable] + r, k))
            base[i, r], at = at, at + len(tables[-1])
            step = 1
            for a, v in reversed(list(enumerate(bucket.rest))):
                rest[i, r, a], stride[i, r, a] = row[v], step
                step *= int(run.tree.sizes[v])
    return rest, stride, base, np.concatenate(tables)


def _logs(run: Run, b: int, k: int) -> np.ndarray:
    """F − m of mini-bucket b, shape (contexts, k); −inf where there is no such state, and in impossible contexts."""
    program, weight = run.program, float(run.weights[b])
    width, states = int(program.width[b]), int(program.states[b])
    joint, block = np.empty(int(program.cells[b])), np.empty(width)
    for h in range(len(joint) // width):
        fill(program, run.arena, b, h, block)
        joint[h * width : (h + 1) * width] = block
    joint = joint.reshape(-1, states)
    message = weight * np.logaddexp.reduce(joint / weight, axis=1, keepdims=True)
    out = np.full((len(joint), k), -math.inf)
    out[:, :states] = np.where(np.isfinite(message), joint - np.where(np.isfinite(message), message, 0.0), -math.inf)
    return out


def _flips(tables: np.ndarray, base: np.ndarray, groups: list[list[MiniBucket]]) -> bool:
    """Whether every table is the same after a flip of every spin: reversed in all its axes."""
    for i, group in enumerate(groups):
        for r, bucket in enumerate(group):
            own = tables[base[i, r] : base[i, r] + 2 ** len(bucket.rest)]
            if not np.array_equal(np.isfinite(own), np.isfinite(own[::-1, ::-1])):
                return False
            alive = np.isfinite(own)
            if not np.allclose(own[alive], own[::-1, ::-1][alive], rtol=0.0, atol=_EVEN):
                return False
    return True
