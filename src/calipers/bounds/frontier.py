"""The frontier of a best-first search: open prefixes, the mass found so far, and the bracket that both make.

    mass of the whole assignments found ≤ Z ≤ that mass + Σ over open prefixes of their bounds

The variables are assigned against the elimination order of a mini-bucket tree, whose messages bound the mass of every
prefix (search_kernels.py). Only variables that feed a split bucket are assigned: what is left then is not split, and
its messages are exact. Children never weigh more than their parent, so the bracket only narrows. When memory is full
the lightest prefixes are given up: their bounds stay in the sum. docs/theorems.md, Theorem 9.
**Source** Lou, Dechter & Ihler, *Anytime anyspace AND/OR search for bounding the partition function* (AAAI 2017).
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from calipers.bounds import search_kernels as kernels
from calipers.bounds.search_kernels import BATCH, DONE, EXPANDED, FRESH, FULL, LEAVES, WAITING, Prefixes, Steps
from calipers.exact.bucket_tree import Run
from calipers.exact.kernels import ULP

Evaluate = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

_MIB = 1 << 20


class Snapshot(NamedTuple):
    """Where a search stands: its variables, its steps' tables, and the open prefixes by depth, as bytes of states."""

    variables: np.ndarray
    steps: Steps
    opened: dict[int, set[bytes]]
    halved: bool

    def alive(self, level: int, states: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Whether prefixes `states`, (m, level), have mass when `state`, (m,), comes next."""
        found, steps = np.ones(len(state), bool), self.steps
        for r in range(steps.bucket_ptr[level], steps.bucket_ptr[level + 1]):
            rest = slice(steps.rest_ptr[r], steps.rest_ptr[r + 1])
            at = steps.table[r] + states[:, steps.rest[rest]].astype(np.int64) @ steps.stride[rest] + state
            found &= steps.logs[at] > -np.inf
        return found


def needed(run: Run) -> np.ndarray:
    """The variables to assign so that nothing split is left: those in split buckets, and all that they depend on."""
    tree = run.tree
    wanted = np.zeros(len(tree.sizes), bool)
    for group in tree.groups:
        if len(group) > 1:
            for bucket in group:
                wanted[[bucket.variable, *bucket.rest]] = True
        elif wanted[group[0].variable]:
            wanted[list(group[0].rest)] = True
    return wanted


def cells(run: Run, chosen: np.ndarray) -> int:
    """Table entries that a search over the `chosen` variables keeps."""
    return sum(int(c) for c, b in zip(run.tree.joint_cells, run.tree.buckets, strict=True) if chosen[b.variable])


class Frontier:
    """Open prefixes over the `chosen` variables of an evaluated mini-bucket run.

    **Arguments:** `run`, after `forward`; `chosen`, closed under dependence, as `needed` gives them; `bound`, the log
    mass that the root may have; `memory` in bytes; `halved`, whether the model is unchanged when all its spins flip,
    so that the first variable need only take one state; `evaluate`, for assignments (m, D) their exact log masses and
    the logs of what rounding to zero may have lost there, None if their bounds are exact; `batch`, the m that is
    wanted; `error`, the rounding of such a log mass.

    **Raises:** `ValueError` when a domain has more than 256 states.
    """

    def __init__(
        self,
        run: Run,
        chosen: np.ndarray,
        bound: float,
        *,
        memory: float = 256 * _MIB,
        halved: bool = False,
        evaluate: Evaluate | None = None,
        batch: int = 16,
        error: float = 0.0,
    ):
        self.bound, self.evaluate = bound, evaluate
        self.variables, self.steps, self.size = _steps(run, chosen)
        depth = len(self.variables)
        most = int(self.steps.states.max(initial=1))
        if most > 256:
            raise ValueError(f"a variable has {most} states; a search takes domains of at most 256")
        capacity = int(max(memory / (depth + 24), 4 * depth * most + 64))
        self.prefixes = Prefixes(
            np.zeros((capacity, depth), np.uint8),
            np.empty(capacity),
            np.zeros(capacity, np.int32),
            np.empty(capacity, np.int32),
            np.empty(capacity, np.int32),
            np.zeros(5, np.int64),
        )
        self.mass = np.array([-math.inf, 0.0])  # log scale and sum of the masses found
        self.lost = -math.inf  # log of the bounds that were given up
        self.gave_up = False
        self._gain = np.empty(most)
        self._batch = np.empty((0 if evaluate is None else batch, depth), np.uint8)
        self._batch_bound = np.empty(len(self._batch))
        self._plant(2 if halved else 1)
        # each log mass is a sum of D differences, each of a few stored numbers that carry the run's rounding
        self.error = error + 4.0 * run.error + ULP * (depth + 8.0) * self.size

    def _plant(self, copies: int) -> None:
        """The root; with `copies` = 2 the first variable stays in state 0 and everything counts twice."""
        p, self._copies, self.halved = self.prefixes, math.log(copies), copies == 2
        p.counts[FRESH] = 1
        p.bound[0] = self._copies
        if copies == 2:
            gain = self.steps.logs[self.steps.table[: self.steps.bucket_ptr[1]]].sum()
            p.bound[0] += gain
            p.depth[0] = 1
        kernels.push(p, 0)

    @property
    def done(self) -> bool:
        """Whether nothing is left to expand."""
        return int(self.prefixes.counts[WAITING]) == 0

    @property
    def closed(self) -> bool:
        """Whether nothing is open and nothing was given up: the mass is exact, up to rounding."""
        found = self.mass[0] + math.log(self.mass[1]) if self.mass[1] > 0.0 else -math.inf
        return self.done and (self.lost == -math.inf or self.lost < found - 36.0)

    @property
    def gap(self) -> float:
        """upper − lower in nats, 0 when done."""
        low, high = self.bracket()
        return 0.0 if self.done else high - low

    @property
    def leaves(self) -> int:
        """Whole assignments found so far."""
        return int(self.prefixes.counts[LEAVES])

    @property
    def open(self) -> int:
        """Prefixes on the heap."""
        return int(self.prefixes.counts[WAITING])

    @property
    def expanded(self) -> int:
        """Prefixes that were branched on."""
        return int(self.prefixes.counts[EXPANDED])

    @property
    def most(self) -> int:
        """States of the largest domain."""
        return len(self._gain)

    def snapshot(self) -> Snapshot:
        """A copy of what is open now."""
        p = self.prefixes
        opened: dict[int, set[bytes]] = {}
        for slot in p.heap[: self.open].tolist():
            depth = int(p.depth[slot])
            opened.setdefault(depth, set()).add(p.states[slot, :depth].tobytes())
        return Snapshot(self.variables, self.steps, opened, self.halved)

    def grow(self, expansions: int, dive_share: float = 0.3) -> bool:
        """Expands up to `expansions` prefixes; returns whether it stopped early because a batch was evaluated."""
        why, filled = kernels.expand(
            self.steps, self.prefixes, self.mass, dive_share, expansions, self._batch, self._batch_bound, self._gain
        )
        if why == FULL:
            self._give_up()
        if filled:
            assert self.evaluate is not None
            found, slack = self.evaluate(self._batch[:filled])
            relative = found - self.bound + self._copies
            for value, most in zip(relative.tolist(), self._batch_bound.tolist(), strict=False):
                kernels.accumulate(self.mass, min(value, most))
            self.lost = float(np.logaddexp(self.lost, log_sum(slack - self.bound + self._copies)))
        return why in (BATCH, DONE)

    def _give_up(self) -> None:
        """Frees the lighter half of the open prefixes, keeping their bounds in the sum."""
        heap = self.prefixes.heap[: self.open]
        values = self.prefixes.bound[heap]
        limit = float(np.partition(values, len(values) // 2)[len(values) // 2])
        light = values[values < limit]
        if len(light) == 0:  # all weigh the same: give up half of them whatever they are
            limit = math.nextafter(float(values.max()), math.inf)
            light = values
        self.lost, self.gave_up = float(np.logaddexp(self.lost, log_sum(light))), True
        kernels.keep_heaviest(self.prefixes, limit)

    def bracket(self) -> tuple[float, float]:
        """Lower and upper bound on log Z, rounding estimate included."""
        found = self.mass[0] + math.log(self.mass[1]) if self.mass[1] > 0.0 else -math.inf
        waiting = log_sum(self.prefixes.bound[self.prefixes.heap[: self.open]])
        above = float(np.logaddexp(found, np.logaddexp(waiting, self.lost)))
        error = self.error + ULP * (2.0 * (self.leaves + self.open) + abs(self.bound) + 64.0)
        return self.bound + found - error, self.bound + above + error


def log_sum(values: np.ndarray) -> float:
    """log Σ exp; −inf for nothing."""
    top = float(values.max(initial=-math.inf))
    return top if math.isinf(top) else top + math.log(float(np.exp(values - top).sum()))


def _steps(run: Run, chosen: np.ndarray) -> tuple[np.ndarray, Steps, float]:
    """The chosen variables in the order of assignment, their tables, and the sum of the largest finite |log|s."""
    tree = run.tree
    groups = [(g, place) for g, place in zip(tree.groups, _places(tree.groups), strict=True) if chosen[g[0].variable]]
    groups.reverse()
    step = {group[0].variable: d for d, (group, _) in enumerate(groups)}
    table, rest_ptr, rest, stride, logs, bucket_ptr = [], [0], [], [], [], [0]
    at, size = 0, 0.0
    block = np.empty(int(run.program.width.max(initial=1)))
    for group, first in groups:
        for b, bucket in enumerate(group, first):
            out = np.empty(int(tree.joint_cells[b]))
            kernels.conditional_logs(run.program, run.arena, b, run.shed, block, out)
            size += float(np.abs(out[np.isfinite(out)]).max(initial=0.0))
            logs.append(out)
            table.append(at)
            at += len(out)
            rest += [step[v] for v in bucket.rest]
            stride += list(_strides(tree.sizes, (*bucket.rest, bucket.variable)))[:-1]
            rest_ptr.append(len(rest))
        bucket_ptr.append(len(table))
    variables = np.array(list(step), np.int64)
    buckets, at_, ptr, earlier, steps = (np.array(x, np.int64) for x in (bucket_ptr, table, rest_ptr, rest, stride))
    flat = np.concatenate([np.zeros(0), *logs])
    return variables, Steps(tree.sizes[variables], buckets, at_, ptr, earlier, steps, flat), size


def _places(groups: list) -> Iterator[int]:
    """Where each group's first mini-bucket stands."""
    place = 0
    for group in groups:
        yield place
        place += len(group)


def _strides(sizes: np.ndarray, scope: tuple[int, ...]) -> list[int]:
    steps = [1]
    for v in reversed(scope[1:]):
        steps.append(steps[-1] * int(sizes[v]))
    return steps[::-1]
