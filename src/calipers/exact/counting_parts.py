"""Components of what propagation leaves of a formula, and the counts of those that were met before (numba kernels).

A component is its unassigned variables, ascending, and its long clauses that are not satisfied, ascending: those of two
literals are known by their variables. That is what it is looked up by, whole: no hash is trusted.
**Source** Bayardo & Pehoushek, *Counting models using connected components* (2000); Thurley, *sharpSAT* (2006).
"""

from typing import NamedTuple

import numpy as np
from numba import njit

ENTRIES, WORDS = range(2)  # places of `Cache.state`


class Parts(NamedTuple):
    """The formula as components see it: long clauses, where variables occur in them, and who shares a short one."""

    start: np.ndarray
    literals: np.ndarray
    of_ptr: np.ndarray
    of: np.ndarray
    near_ptr: np.ndarray
    near: np.ndarray
    seen: np.ndarray
    seen_clause: np.ndarray
    state: np.ndarray


class Cache(NamedTuple):
    """Counted components: entry e is `words[begin[e] : begin[e + 1]]`, its log count `counts[e]`; `table` finds it."""

    table: np.ndarray
    begin: np.ndarray
    hashes: np.ndarray
    counts: np.ndarray
    words: np.ndarray
    state: np.ndarray


def parts_of(given: list[list[int]], n: int) -> Parts:
    """What components need to know of the clauses (coded)."""
    long = [clause for clause in given if len(clause) > 2]
    flat = np.array([x for clause in long for x in clause], np.int32)
    owner = np.repeat(np.arange(len(long)), [len(c) for c in long]).astype(np.int32)
    order = np.argsort(flat >> 1, kind="stable")
    pairs = {(a >> 1, b >> 1) for clause in given if len(clause) == 2 for a, b in (clause, clause[::-1])}
    near = np.array(sorted(pairs), np.int64).reshape(-1, 2)
    ends = lambda lengths: np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)  # noqa: E731
    return Parts(
        ends([len(c) for c in long]), flat, ends(np.bincount(flat >> 1, minlength=n)), owner[order],
        ends(np.bincount(near[:, 0], minlength=n)), near[:, 1].astype(np.int32),
        np.zeros(n, np.int64), np.zeros(max(len(long), 1), np.int64), np.zeros(1, np.int64),
    )  # fmt: skip


def cache_of(memory: float) -> Cache:
    """An empty cache; memory is taken as it fills."""
    bits = int(np.clip(np.log2(max(memory, 1.0) / 200.0), 4, 24))
    entries, words = 1 << (bits - 1), max(int(memory / 8.0), 64)
    return Cache(
        np.full(1 << bits, -1, np.int64), np.zeros(entries + 1, np.int64), np.zeros(entries, np.uint64),
        np.zeros(entries), np.zeros(words, np.int32), np.zeros(2, np.int64),
    )  # fmt: skip


@njit(cache=True, nogil=True)
def component(p, value, root, stamp, out):
    """Writes the component of an unassigned variable: two counts, its variables, its long clauses. Returns its end.

    Variables are marked with `stamp`; those with the mark already belong to other components.
    """
    out[2] = root
    p.seen[root] = stamp
    head, end, clauses = 2, 3, 0
    while head < end:
        v = out[head]
        head += 1
        for i in range(p.near_ptr[v], p.near_ptr[v + 1]):
            u = p.near[i]
            if value[2 * u] < 0 and p.seen[u] != stamp:
                p.seen[u] = stamp
                out[end] = u
                end += 1
        for i in range(p.of_ptr[v], p.of_ptr[v + 1]):
            c = p.of[i]
            if p.seen_clause[c] == stamp or p.seen_clause[c] == -stamp:
                continue
            satisfied = False
            for k in range(p.start[c], p.start[c + 1]):
                if value[p.literals[k]] == 1:
                    satisfied = True
                    break
            p.seen_clause[c] = -stamp if satisfied else stamp
            if satisfied:
                continue
            clauses += 1
            for k in range(p.start[c], p.start[c + 1]):
                u = p.literals[k] >> 1
                if value[2 * u] < 0 and p.seen[u] != stamp:
                    p.seen[u] = stamp
                    out[end] = u
                    end += 1
    variables = end - 2
    out[2:end].sort()
    place = end
    if clauses:
        for q in range(2, 2 + variables):
            v = out[q]
            for i in range(p.of_ptr[v], p.of_ptr[v + 1]):
                c = p.of[i]
                if p.seen_clause[c] == stamp:
                    p.seen_clause[c] = -stamp
                    out[place] = c
                    place += 1
        out[end:place].sort()
    out[0], out[1] = variables, place - end
    return place


@njit(cache=True, nogil=True)
def hashed(words):
    """A number made of the words."""
    h = np.uint64(0x9E3779B97F4A7C15)
    for w in words:
        h = (h ^ np.uint64(w)) * np.uint64(0xBF58476D1CE4E5B9)
        h ^= h >> np.uint64(29)
    return h


@njit(cache=True, nogil=True)
def look_up(cache, words, h):
    """The entry of a component, or −1."""
    mask = np.uint64(len(cache.table) - 1)
    at = h & mask
    while cache.table[at] != -1:
        e = cache.table[at]
        if cache.hashes[e] == h:
            begin = cache.begin[e]
            if cache.begin[e + 1] - begin == len(words):
                same = True
                for k in range(len(words)):
                    if cache.words[begin + k] != words[k]:
                        same = False
                        break
                if same:
                    return e
        at = (at + np.uint64(1)) & mask
    return -1


@njit(cache=True, nogil=True)
def remember(cache, words, h, count):
    """Enters a component's log count; when there is no room, everything is forgotten first. Returns whether it was."""
    e, used = cache.state[ENTRIES], cache.state[WORDS]
    forgot = e == len(cache.counts) or used + len(words) > len(cache.words)
    if forgot:
        cache.table[:] = -1
        cache.state[:] = 0
        e, used = 0, 0
        if len(words) > len(cache.words):
            return forgot
    cache.words[used : used + len(words)] = words
    cache.begin[e], cache.begin[e + 1] = used, used + len(words)
    cache.hashes[e], cache.counts[e] = h, count
    cache.state[ENTRIES], cache.state[WORDS] = e + 1, used + len(words)
    mask = np.uint64(len(cache.table) - 1)
    at = h & mask
    while cache.table[at] >= 0:
        at = (at + np.uint64(1)) & mask
    cache.table[at] = e
    return forgot


@njit(cache=True, nogil=True)
def forget_since(cache, entries):
    """Takes back all entries but the first `entries`."""
    mask = np.uint64(len(cache.table) - 1)
    for e in range(cache.state[ENTRIES] - 1, entries - 1, -1):  # the latest first: no other entry was probed beyond it
        at = cache.hashes[e] & mask
        while cache.table[at] != e:
            at = (at + np.uint64(1)) & mask
        cache.table[at] = -1
    cache.state[ENTRIES] = min(cache.state[ENTRIES], entries)
    cache.state[WORDS] = cache.begin[cache.state[ENTRIES]] if cache.state[ENTRIES] else 0
