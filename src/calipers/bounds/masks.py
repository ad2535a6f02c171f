"""Masks: the zeros of factors, copied into every mini-bucket where they can speak.

    f(x_a) = f(x_a) · m(x_s)   for every s, where m(x_s) = 0 if f is zero whatever the rest of x_a, else 1

A mask is idempotent: multiplying by it once more changes nothing, so that a mini-bucket which did not get factor f may
have its mask for free (docs/theorems.md, Theorem 2). Only the zeros are copied; what is soft stays where it is.
**Proves** nothing by itself: the model is unchanged. **Cost** more items in the buckets, at most `most` each.
**Source** Dechter & Rish, *Mini-buckets* (2003); for zeros, constraint tightening by local consistency is folklore.
"""

import numpy as np

from calipers.exact.bucket_tree import BucketTree, MiniBucket
from calipers.models.factor_graph import FactorGraph

_Masks = dict[tuple[int, ...], np.ndarray]


def with_masks(model: FactorGraph, tree: BucketTree, most: int = 8) -> tuple[BucketTree, list[np.ndarray]]:
    """The tree with masks as further tables, numbered after the model's factors, and those tables: logs, 0 or −inf.

    **Arguments:** `model`, of which `tree` holds every factor once; `most`, masks a mini-bucket gets.
    """
    hard = [a for a, t in enumerate(model.tables) if np.isneginf(t).any()]
    if not tree.split or not hard:
        return tree, []
    alive = {a: ~np.isneginf(model.tables[a]) for a in hard}
    of: dict[int, list[int]] = {}
    for a in hard:
        for v in model.scopes[a]:
            of.setdefault(v, []).append(a)
    scopes, tables, groups, touched = list(tree.scopes), [], [], np.zeros(len(tree.buckets), bool)
    place = 0
    for group in tree.groups:
        new = []
        for bucket in group:
            touched[place] = len(group) > 1 or touched[list(bucket.children)].any()
            found = _masks(model, bucket, of, alive, most) if touched[place] else {}
            numbers = range(len(scopes), len(scopes) + len(found))
            scopes += list(found)
            tables += [np.where(mask, 0.0, -np.inf) for mask in found.values()]
            new.append(bucket._replace(tables=(*bucket.tables, *numbers)))
            place += 1
        groups.append(new)
    return BucketTree.of_groups(tree.sizes, scopes, groups, tree.keep, tree.max_cells), tables


def _masks(model: FactorGraph, bucket: MiniBucket, of: dict[int, list[int]], alive: dict, most: int) -> _Masks:
    """The masks of all factors with zeros that share two variables or more with a mini-bucket and are not in it."""
    inside = {bucket.variable, *bucket.rest}
    shared: dict[int, int] = {}
    for v in inside:
        for a in of.get(v, ()):
            shared[a] = shared.get(a, 0) + 1
    found: _Masks = {}
    for a in sorted(a for a, count in shared.items() if count > 1 and a not in bucket.tables):
        scope = model.scopes[a]
        left = tuple(i for i, v in enumerate(scope) if v not in inside)
        mask = alive[a].any(axis=left) if left else alive[a]
        if not mask.all():
            own = tuple(v for v in scope if v in inside)
            found[own] = found[own] & mask if own in found else mask
    return dict(sorted(_folded(found).items(), key=lambda pair: float(pair[1].mean()))[:most])


def _folded(masks: _Masks) -> _Masks:
    """Masks with nested scopes multiplied into the larger; scopes ascend."""
    kept: _Masks = {}
    for scope in sorted(masks, key=len, reverse=True):
        host = next((large for large in kept if set(scope) <= set(large)), None)
        if host is None:
            kept[scope] = masks[scope]
        else:
            shape = [n if v in scope else 1 for v, n in zip(host, kept[host].shape, strict=True)]
            kept[host] = kept[host] & masks[scope].reshape(shape)
    return kept
