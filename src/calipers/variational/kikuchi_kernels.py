"""Numba kernels of the cluster variation method: sweeps over inner regions, and the free energy.

    Q_β ∝ (Π_α m_{α→β})^{1/(n_β + max(c_β, 0))},   m = marginal of Q_α less what β sent;   μ_{β→α} = Q_β / m_{α→β}

`logs` holds log Q_α up to a constant. An entry that becomes impossible stays −inf everywhere.
"""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def _marginal(logs, layout, link, out):
    """The normalised log marginal of an outer region's belief on the inner one of `link`, into `out`, if any is."""
    a, at = layout.link_outer[link], layout.link_map[link]
    start, stop = layout.outer_ptr[a], layout.outer_ptr[a + 1]
    top = -np.inf
    for i in range(start, stop):
        top = max(top, logs[i])
    out[:] = 0.0
    if top == -np.inf:
        return False
    total = 0.0
    for i in range(start, stop):
        p = np.exp(logs[i] - top)
        out[layout.maps[at + i - start]] += p
        total += p
    for x in range(len(out)):
        out[x] = np.log(out[x] / total) if out[x] > 0.0 else -np.inf
    return True


@njit(cache=True, nogil=True)
def _add(logs, layout, link, step):
    """Adds a table on the inner region to the outer region's logs; −inf forbids."""
    a, at = layout.link_outer[link], layout.link_map[link]
    start = layout.outer_ptr[a]
    for i in range(start, layout.outer_ptr[a + 1]):
        logs[i] += step[layout.maps[at + i - start]]


@njit(cache=True, nogil=True)
def sweep(layout, logs, belief, message, backwards):
    """Updates every inner region once; the largest step of a probability, inf when nothing is possible.

    `belief` are the logs of the Q_β, `message` those of μ.
    """
    change, count = 0.0, len(layout.counting)
    for turn in range(count):
        b = count - 1 - turn if backwards else turn
        own = belief[layout.inner_ptr[b] : layout.inner_ptr[b + 1]]
        k, first, last = len(own), layout.link_ptr[b], layout.link_ptr[b + 1]
        incoming, total = np.empty((last - first, k)), np.zeros(k)
        for link in range(first, last):
            row, sent = incoming[link - first], message[layout.link_at[link] : layout.link_at[link + 1]]
            if not _marginal(logs, layout, link, row):
                return np.inf
            for x in range(k):
                change = max(change, abs(np.exp(row[x]) - np.exp(own[x])))
                if row[x] > -np.inf:
                    row[x] -= sent[x]
                total[x] += row[x]
        power = 1.0 / (last - first + max(layout.counting[b], 0))
        top = total.max()
        if top == -np.inf:
            return np.inf
        norm = 0.0
        for x in range(k):
            norm += np.exp((total[x] - top) * power)
        for x in range(k):
            own[x] = (total[x] - top) * power - np.log(norm)
        for link in range(first, last):
            row, sent = incoming[link - first], message[layout.link_at[link] : layout.link_at[link + 1]]
            for x in range(k):
                if own[x] == -np.inf:
                    row[x] = -np.inf
                else:
                    new = own[x] - row[x]
                    row[x] = new - sent[x]
                    sent[x] = new
            _add(logs, layout, link, row)
    return change


@njit(cache=True, nogil=True)
def relinearise(layout, logs, belief, old):
    """Moves the tangent of the concave entropies from `old` to `belief`; the largest step of a probability."""
    change = 0.0
    for b in range(len(layout.counting)):
        span = slice(layout.inner_ptr[b], layout.inner_ptr[b + 1])
        now, before = belief[span], old[span]
        for x in range(len(now)):
            change = max(change, abs(np.exp(now[x]) - np.exp(before[x])))
        first, last = layout.link_ptr[b], layout.link_ptr[b + 1]
        if layout.counting[b] < 0:
            step, share = np.zeros(len(now)), -layout.counting[b] / (last - first)
            for x in range(len(now)):
                if now[x] > -np.inf:
                    step[x] = share * (now[x] - before[x])
            for link in range(first, last):
                _add(logs, layout, link, step)
        before[:] = now
    return change


@njit(cache=True, nogil=True)
def free_energy(layout, logs, tables, belief):
    """Σ_α [⟨θ_α⟩ + H(Q_α)] + Σ_β c_β H(Q_β); normalises `logs`."""
    value = 0.0
    for a in range(len(layout.outer_ptr) - 1):
        own = logs[layout.outer_ptr[a] : layout.outer_ptr[a + 1]]
        top = own.max()
        if top == -np.inf:
            return -np.inf
        total = np.log(np.exp(own - top).sum()) + top
        for i in range(len(own)):
            own[i] -= total
            if own[i] > -np.inf:
                value += np.exp(own[i]) * (tables[layout.outer_ptr[a] + i] - own[i])
    for b in range(len(layout.counting)):
        for x in belief[layout.inner_ptr[b] : layout.inner_ptr[b + 1]]:
            if x > -np.inf:
                value -= layout.counting[b] * np.exp(x) * x
    return value
