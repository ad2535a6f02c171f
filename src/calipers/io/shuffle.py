"""Minibatches of rows in random order, in bounded memory, resumable from two numbers.

    order of an epoch:  pieces of P rows, permuted;  each window of W pieces, its rows permuted;  begun at a uniform r
    slot t of it:       σ[(t + r) mod N],   uniform over the N rows: Σ over a batch × N/B is an unbiased sum over all

Every row comes once an epoch; batches have B rows and run on across the ends of epochs. All permutations are functions
of (seed, epoch, window), so that (epoch, slot) is the whole state. Rows of one batch come from W pieces: batches of
ordered data vary more than those of a full shuffle do, and are as unbiased. The next window is read while this one is
used. **Cost** every row read once an epoch, one window twice; memory for two windows and a piece. **Source**
counter-based streams, as in Salmon et al. (2011).
"""

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from calipers.io.ahead import Ahead, each
from calipers.io.rows import Rows


class Place(NamedTuple):
    """Where a stream is: whole epochs, and slots of this one."""

    epoch: int = 0
    slot: int = 0


class Shuffle:
    """The stream. **Arguments:** `rows`; `batch`, B; `piece`, P; `window`, W; `seed`, integers."""

    def __init__(self, rows: Rows, batch: int, *, piece: int = 65536, window: int = 8, seed: Sequence[int] = (0,)):
        if batch < 1 or piece < 1 or window < 1:
            raise ValueError(f"batch {batch}, piece {piece} and window {window} must be 1 or more")
        self.rows, self.batch, self.piece, self.window, self.seed = rows, batch, piece, window, list(seed)
        self.pieces = -(-rows.count // piece)
        self._held: tuple[Any, Any] = (None, None)
        self._ahead = Ahead()
        self._order = (-1, np.zeros(0, np.int64))

    def take(self, place: Place) -> tuple[Any, Place]:
        """The batch at `place`, and the place after it."""
        parts, left = [], self.batch
        while left:
            window, begin, end = self._find(place)
            used = min(left, end - begin)
            held = self._window(place.epoch, window, self._after(place, end - begin))
            parts.append(jax.tree.map(lambda a, b=begin, e=begin + used: a[b:e], held))
            left -= used
            place = self._after(place, used)
        return parts[0] if len(parts) == 1 else jax.tree.map(lambda *a: np.concatenate(a), *parts), place

    def order(self, epoch: int) -> np.ndarray:
        """The pieces, in order, shape (pieces,)."""
        held = self._order  # two threads ask
        if held[0] != epoch:
            held = self._order = (epoch, self._random(epoch, 1).permutation(self.pieces))
        return held[1]

    def begin(self, epoch: int) -> int:
        """r, where in the order an epoch begins."""
        return int(self._random(epoch, 2).integers(self.rows.count))

    def members(self, epoch: int, window: int) -> list[tuple[int, int]]:
        """The ranges of rows that make a window."""
        chosen = self.order(epoch)[window * self.window : (window + 1) * self.window]
        return [(int(p) * self.piece, min((int(p) + 1) * self.piece, self.rows.count)) for p in chosen]

    def permutation(self, epoch: int, window: int, size: int) -> np.ndarray:
        """How the rows of a window are permuted."""
        return self._random(epoch, window + 3).permutation(size)

    def _random(self, epoch: int, stream: int) -> np.random.Generator:
        return np.random.default_rng([*self.seed, epoch, stream])  # streams from 1: a seed's trailing zeros are lost

    def _find(self, place: Place) -> tuple[int, int, int]:
        """The window of a slot, where in it, and where what follows ends: with the window or the epoch."""
        n, full = self.rows.count, self.window * self.piece
        order = self.order(place.epoch)
        at = (place.slot + self.begin(place.epoch)) % n
        short = self.pieces * self.piece - n  # rows that the last piece lacks, and its window
        place_of_last = int(np.flatnonzero(order == self.pieces - 1)[0]) // self.window
        window = at // full if at < (place_of_last + 1) * full - short else (at + short) // full
        start = window * full - (short if window > place_of_last else 0)
        size = sum(e - b for b, e in self.members(place.epoch, window))
        return window, at - start, min(size, at - start + n - place.slot)

    def _after(self, place: Place, slots: int) -> Place:
        """The place some slots on, in this epoch or at the beginning of the next."""
        slot = place.slot + slots
        return Place(place.epoch + 1) if slot == self.rows.count else place._replace(slot=slot)

    def _window(self, epoch: int, window: int, then: Place) -> Any:
        """The rows of a window, permuted; the window of the place `then` is begun."""
        name = (epoch, window)
        if self._held[0] != name:
            self._held = (None, None)
            self._held = (name, self._ahead.take(name, lambda: self._permuted(*name)))
            following = (then.epoch, self._find(then)[0])
            self._ahead.begin(following, lambda: self._permuted(*following))
        return self._held[1]

    def _permuted(self, epoch: int, window: int) -> Any:
        members = self.members(epoch, window)
        size = sum(e - b for b, e in members)
        place, at, whole = np.empty(size, np.int64), 0, None
        place[self.permutation(epoch, window, size)] = np.arange(size)
        for begin, end in members:
            part = self.rows.read(begin, end)
            if whole is None:
                whole = jax.tree.map(lambda a: np.empty((size, *a.shape[1:]), a.dtype), part)
            to = place[at : at + end - begin]
            jax.tree.map(lambda a, b, to=to: a.__setitem__(to, b), whole, part)
            at += end - begin
        return whole


def blocks(rows: Rows, size: int, piece: int = 65536, share: tuple[int, int] = (0, 1)) -> Iterator[tuple[Any, bool]]:
    """All rows in their own order, `size` at a time at most, read a piece at a time, the next one while this is used.

    **Arguments:** `share`, (i, n): of n readers, this is number i. Readers take pieces in turn as long as there are n
    of them that are full.

    **Returns:** blocks, and whether each reader has one of its own (or all have the same).
    """
    reader, readers = share
    ends = [*range(0, rows.count, piece), rows.count]
    ranges = list(itertools.pairwise(ends))
    turns = rows.count // piece // readers if readers > 1 else 0
    mine = [ranges[turn * readers + reader] for turn in range(turns)] + ranges[turns * readers :]
    for turn, part in enumerate(each([functools.partial(rows.read, *span) for span in mine])):
        for low in range(0, mine[turn][1] - mine[turn][0], size):
            yield jax.tree.map(lambda a, b=low: a[b : b + size], part), turn < turns
