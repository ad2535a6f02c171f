"""The fixed part of an autoregressive network, from a run of mini-buckets: tables, frontiers, order of drawing.

    log p̃(x) = log U + Σ_v Σ_r c_r(x_v | rest),    c_r = F_r − m_r        (docs/theorems.md, theorems S1 and N2)

F_r is the joint of mini-bucket r and m_r its message. A variable below which no bucket is split has Σ exp c = 1
whatever the rest is: it is summed out exactly, and never drawn. i-bound 0 leaves each variable next to nothing to
start from, 1 about a tree, the width of a strip the strip. Every length is rounded up, so that networks of about the
same size share what is compiled: there are variables of one state, seen by nobody. **Proves** nothing. **Cost** one
visit of each joint entry.
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
    first = np.cumsum([0, *map(len, tree.groups)]).tolist()
    place = {g[0].variable: at for g, at in zip(tree.groups, first, strict=False)}
    sizes = tree.sizes[names].tolist()
    k, room = max(sizes), _up(len(names))
    codes = np.zeros((room, k, 1 if k == 2 else k))
    codes[: len(names)] = [_codes(size, k) for size in sizes]
    rest, stride, base, tables = _tables(run, groups, place, row, k)
    frontier, fan_in = _features([[row[u] for u in seen[v]] for v in names], sizes, codes)
    odd = k == 2 and _flips(tables, base, groups)
    tables = np.pad(tables, ((0, (1 << (len(tables) - 1).bit_length()) - len(tables)), (0, 0)))
    return Network(rest, stride, base, tables, frontier, fan_in, codes, np.array(0.0 if odd else 1.0))


def _up(length: int) -> int:
    """The next of 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, …"""
    step = 1 << max(length.bit_length() - 3, 0)
    return max(-(-length // step) * step, 4)


def _codes(size: int, k: int) -> np.ndarray:
    """Features of each state, shape (k, f): a spin, or which state it is less its mean."""
    if k == 2:
        return np.array([[1.0], [-1.0]])
    codes = np.zeros((k, k))
    codes[:size, :size] = np.eye(size) - 1.0 / size
    return codes


def _features(seen: list[list[int]], sizes: list[int], codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the features that each variable sees, the bias first, shape (v, p); and their numbers, −1 for nobody."""
    room, f = len(codes), codes.shape[2]
    nothing, bias = room * f, room * f + 1
    rows = [[bias, *(u * f + j for u in s for j in range(1 if f == 1 else sizes[u]))] for s in seen]
    frontier = np.full((room, _up(max(map(len, rows)))), nothing, np.int32)
    fan_in = np.full(room, -1, np.int64)
    for i, own in enumerate(rows):
        frontier[i, : len(own)], fan_in[i] = own, len(own) - 1
    return frontier, fan_in


def _tables(
    run: Run, groups: list[list[MiniBucket]], place: dict[int, int], row: dict[int, int], k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Tables c_r below one another, after zeros and a variable of one state; where each begins, what it looks at."""
    room = _up(len(groups))
    most = _up(max(len(g) for g in groups))
    arity = _up(max(len(b.rest) for g in groups for b in g))
    rest = np.full((room, most, arity), room, np.int32)
    stride, base = np.zeros_like(rest), np.zeros((room, most), np.int32)
    base[len(groups) :, 0] = 1
    tables: list[np.ndarray] = [np.zeros((1, k)), np.full((1, k), -math.inf)]
    tables[1][0, 0], at = 0.0, 2
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
    flat, block = np.empty(int(program.cells[b])), np.empty(width)
    for h in range(len(flat) // width):
        fill(program, run.arena, b, h, block)
        flat[h * width : (h + 1) * width] = block
    joint = flat.reshape(-1, states)
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
