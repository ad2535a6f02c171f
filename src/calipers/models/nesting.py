"""Flat kernels that rewrite tables: cut out the kept states, find nested scopes, add a table into a larger one.

Each is one pass over flat arrays (see propagation.Flat), so that a model with 10⁵ small factors costs milliseconds.
All indices are int64, all logs float64, contiguous; nothing here allocates more than one scratch vector a call.
"""

import numpy as np
from numba import njit


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
def find_hosts(scope_start, scope, of_start, of):
    """For every scope (sorted, distinct) the smallest other scope that contains it and is in none itself; −1: none.

    `of` lists the scopes of each variable, ragged, by rising size of the table.
    """
    arity = scope_start[1:] - scope_start[:-1]
    host = np.full(len(arity), -1, np.int64)
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
