"""The proposal of a mini-bucket tree: a distribution that can be sampled, with p(x) ≤ U q(x) for the bound U.

    q(x) = Π_v Σ_r w_r q_r(x_v | rest),    q_r = (F_r / m_r)^{1/w_r},    p(x) / q(x) = U Π_v Π_r q_r^{w_r} / Σ_r w_r q_r

with F_r the mini-bucket's joint and m_r its message (docs/theorems.md, theorem S1): the weight p/(Uq) is ≤ 1, needs no
factor of the model, and depends only on the variables of split buckets and of the contexts these are drawn in. **Cost**
one pass over the joint tables of the sampled variables, then about 20 ns a mini-bucket and sample. **Fails** by weights
that are almost all nearly zero, when U is far above log Z. **Source** Liu, Fisher & Ihler, *Probabilistic variational
bounds for graphical models* (2015).
"""

import numpy as np

from calipers.bounds import proposal_kernels as kernels
from calipers.bounds.frontier import needed
from calipers.exact.bucket_tree import Run

_PRECISION = 2.0**-23  # relative, of a stored probability and of its normalisation


class Proposal:
    """The proposal of a run after `forward()`; samples are numbered, and the same number is always the same sample.

    **Arguments:** `run`; `log_bound`, log U, its value; `every`, whether to sample all variables (else only those that
    weights depend on).

    **Fields:** `variables`, those that are sampled, in the order in which they are; `error`, the rounding that
    log U + log E[weight] may carry; `leak`, the probability that finitely many random digits may misplace.
    """

    def __init__(self, run: Run, log_bound: float, every: bool = False):
        tree = run.tree
        self.log_bound = log_bound
        self.needed = np.ones(len(tree.sizes), bool) if every else needed(run)
        picked = [(g, group) for g, group in enumerate(tree.groups) if self.needed[group[0].variable]][::-1]
        self.variables = np.array([group[0].variable for _, group in picked], np.int64)
        starts = np.cumsum([0, *map(len, tree.groups)])
        places = [int(starts[g]) + r for g, group in picked for r in range(len(group))]
        buckets = [bucket for _, group in picked for bucket in group]
        row = np.cumsum(self.needed) - 1
        rest = [v for bucket in buckets for v in bucket.rest]
        self.draws = kernels.Draws(
            variable=row[self.variables].astype(np.int64),
            states=tree.sizes[self.variables].astype(np.int64),
            bucket_ptr=np.cumsum([0, *(len(group) for _, group in picked)]).astype(np.int64),
            weight=run.weights[places],
            table=np.zeros(len(buckets), np.int64),
            rest_ptr=np.cumsum([0, *(len(b.rest) for b in buckets)]).astype(np.int64),
            rest=row[np.array(rest, np.int64)].astype(np.int64),
            stride=np.array([s for b in buckets for s in _strides(tree.sizes[list(b.rest)])], np.int64),
        )
        self._fill_tables(run, places)
        parts = max((len(group) for _, group in picked), default=1)
        self._context = np.empty((parts, kernels.CHUNK), np.int32)
        self._mixture = np.empty(int(tree.sizes.max(initial=2)))
        self._dtype = np.uint8 if tree.sizes.max(initial=2) <= 256 else np.int32
        self.error = 2.0 * run.error + _PRECISION * len(picked)
        self.leak = float(self.draws.states.sum()) * 2.0**-51

    def _fill_tables(self, run: Run, places: list[int]) -> None:
        """The conditional tables of the sampled mini-buckets, one after another."""
        program = run.program
        cells, states = program.cells[places].tolist(), program.states[places].tolist()
        lengths = [c // 2 if k == 2 else c for c, k in zip(cells, states, strict=True)]
        ends = np.cumsum([0, *lengths])
        self.draws.table[:] = ends[:-1]
        self.tables = np.empty(int(ends[-1]), np.float32)
        block = np.empty(int(program.width.max(initial=1)))
        for place, start, end in zip(places, ends[:-1], ends[1:], strict=True):
            kernels.conditionals(program, run.arena, place, run.weights[place], block, self.tables[start:end])

    def block(self) -> int:
        """Samples that take about a third of a second: what to ask for at a time."""
        return int(min(max(2**24 // max(len(self.draws.table), 1), 256), 2**16))

    def draw(
        self, seed: int, start: int, count: int, prefixes: tuple[np.ndarray, np.ndarray] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Samples number start … start + count − 1.

        **Arguments:** `prefixes`, for each sample how many of its variables are given, in the order of `variables`, and
        their states, shapes (count,) and (count, g): the rest is drawn.

        **Returns:** log of weight / U, in [−∞, 0], shape (count,), of the variables that were drawn; the states, shape
        (g, count), a row for each of `variables` ascending.
        """
        stream, logs = np.empty(count, np.uint64), np.zeros(count)
        kernels.streams(np.uint64(seed), start, stream)
        x, depth = np.zeros((len(self.variables), count), self._dtype), np.zeros(count, np.int32)
        if prefixes is not None:
            depth = prefixes[0].astype(np.int32)
            x[self.draws.variable] = prefixes[1].T
        kernels.draw(self.draws, self.tables, stream, depth, x, logs, self._context, self._mixture)
        return logs, x


def _strides(sizes: np.ndarray) -> list[int]:
    """Strides of a table whose last variable is fastest."""
    return [int(s) for s in np.cumprod([1, *sizes[:0:-1]])[::-1]] if len(sizes) else []
