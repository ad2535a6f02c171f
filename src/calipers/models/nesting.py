"""Flat kernels that rewrite tables: cut out the kept states, find nested scopes, add a table into a larger one.

Each is one pass over flat arrays (see propagation.Flat), so that a model with 10⁵ small factors costs milliseconds.
All indices are int64, all logs float64, contiguous; nothing here allocates more than one scratch vector a call.
"""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def lay_out(sizes, state_start, scope_start, scope, table_start, alive):
    """The layout on the kept states, one-state variables out of the scopes.

    Returns the new sizes, where each variable's kept states start, those states, the scopes, and where tables start.
    """
    n, count = len(sizes), len(scope_start) - 1
    left, kept_start = np.zeros(n, np.int64), np.zeros(n + 1, np.int64)
    kept, new_scope, many = np.empty(len(alive), np.int64), np.empty(len(scope), np.int64), 0
    new_start, new_table_start = np.zeros(count + 1, np.int64), np.zeros(count + 1, np.int64)
    for v in range(n):
        for s in range(state_start[v], state_start[v + 1]):
            if alive[s]:
                kept[kept_start[v] + left[v]] = s - state_start[v]
                left[v] += 1
        kept_start[v + 1] = kept_start[v] + left[v]
    for f in range(count):
        entries = 1
        for i in range(scope_start[f], scope_start[f + 1]):
            v = scope[i]
            entries *= left[v]
            if left[v] > 1:
                new_scope[many] = v
                many += 1
        new_start[f + 1], new_table_start[f + 1] = many, new_table_start[f] + entries
    return left, kept_start, kept[: kept_start[n]], new_start, new_scope[:many], new_table_start


@njit(cache=True, nogil=True)
def survey(sizes, scope_start, scope, table_start, logs):
    """The largest log of each table, whether the table varies, and each variable's place among those in such tables.

    The place is −1 for a variable that is in none.
    """
    count = len(scope_start) - 1
    top, varies, place = np.empty(count), np.zeros(count, np.bool_), np.full(len(sizes), -1, np.int64)
    for f in range(count):
        first = logs[table_start[f]]
        top[f] = first
        for e in range(table_start[f], table_start[f + 1]):
            top[f] = max(top[f], logs[e])
            varies[f] |= logs[e] != first
        if varies[f]:
            for i in range(scope_start[f], scope_start[f + 1]):
                place[scope[i]] = 0
    used = 0
    for v in range(len(sizes)):
        if place[v] == 0:
            place[v] = used
            used += 1
    return top, varies, place


@njit(cache=True, nogil=True)
def sort_scopes(scope_start, scope, place):
    """The same scopes, each ascending, by the variables' places."""
    out = np.empty(len(scope), np.int64)
    for f in range(len(scope_start) - 1):
        for i in range(scope_start[f], scope_start[f + 1]):
            v, j = place[scope[i]], i
            while j > scope_start[f] and out[j - 1] > v:
                out[j] = out[j - 1]
                j -= 1
            out[j] = v
    return out


@njit(cache=True, nogil=True)
def cut(scope_start, scope, table_start, logs, sizes, kept_start, kept, out_start, out):
    """Copies the entries of every table whose states are all kept; `kept` lists states, ragged by variable."""
    digit = np.empty(64, np.int64)
    stride = np.empty(64, np.int64)
    for f in range(len(table_start) - 1):
        own = scope[scope_start[f] : scope_start[f + 1]]
        source, step = table_start[f], 1
        for j in range(len(own) - 1, -1, -1):
            digit[j], stride[j] = kept_start[own[j]], step
            source += kept[digit[j]] * step
            step *= sizes[own[j]]
        for e in range(out_start[f], out_start[f + 1]):
            out[e] = logs[source]
            for j in range(len(own) - 1, -1, -1):
                before = kept[digit[j]]
                digit[j] += 1
                if digit[j] < kept_start[own[j] + 1]:
                    source += (kept[digit[j]] - before) * stride[j]
                    break
                digit[j] = kept_start[own[j]]
                source += (kept[digit[j]] - before) * stride[j]


@njit(cache=True, nogil=True)
def find_hosts(sizes, scope_start, scope):
    """For every scope (sorted, distinct) the smallest other scope that contains it and is in none itself; −1: none."""
    count = len(scope_start) - 1
    arity, entries = scope_start[1:] - scope_start[:-1], np.ones(count, np.int64)
    of_start = np.zeros(len(sizes) + 1, np.int64)
    for f in range(count):
        for v in scope[scope_start[f] : scope_start[f + 1]]:
            entries[f] *= sizes[v]
            of_start[v + 1] += 1
    for v in range(len(sizes)):
        of_start[v + 1] += of_start[v]
    of, place = np.empty(len(scope), np.int64), of_start.copy()
    for f in np.argsort(entries, kind="mergesort"):  # the scopes of each variable, by rising size of the table
        for v in scope[scope_start[f] : scope_start[f + 1]]:
            of[place[v]] = f
            place[v] += 1
    host = np.full(count, -1, np.int64)
    for f in np.argsort(-arity, kind="mergesort"):
        if arity[f] == 0:
            continue
        own = scope[scope_start[f] : scope_start[f + 1]]
        rare = own[0]
        for v in own:
            if of_start[v + 1] - of_start[v] < of_start[rare + 1] - of_start[rare]:
                rare = v
        for i in range(of_start[rare], of_start[rare + 1]):
            g = of[i]
            if arity[g] > arity[f] and host[g] < 0 and _inside(own, scope[scope_start[g] : scope_start[g + 1]]):
                host[f] = g
                break
    return host


@njit(cache=True, nogil=True)
def _inside(small, large):
    """Whether the sorted vector `small` is part of the sorted vector `large`."""
    i = 0
    for v in large:
        if i < len(small) and small[i] == v:
            i += 1
    return i == len(small)


@njit(cache=True, nogil=True)
def add_tables(
    sizes, members, hosts, scope_start, scope, table_start, logs, host_scope_start, host_scope, host_start, out
):
    """Adds table `members[i]` into table `hosts[i]` of `out`, whatever the order of the variables in either."""
    digit = np.empty(64, np.int64)
    stride = np.zeros(len(sizes), np.int64)
    for i in range(len(members)):
        f, h = members[i], hosts[i]
        own = scope[scope_start[f] : scope_start[f + 1]]
        target = host_scope[host_scope_start[h] : host_scope_start[h + 1]]
        step = 1
        for v in own[::-1]:
            stride[v] = step
            step *= sizes[v]
        digit[: len(target)] = 0
        source = table_start[f]
        for e in range(host_start[h], host_start[h + 1]):
            out[e] += logs[source]
            for j in range(len(target) - 1, -1, -1):
                v = target[j]
                digit[j] += 1
                source += stride[v]
                if digit[j] < sizes[v]:
                    break
                source -= digit[j] * stride[v]
                digit[j] = 0
        for v in own:
            stride[v] = 0
