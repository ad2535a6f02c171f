"""Witnesses and models as flat arrays, and back: what a certificate holds. checker/README.md lists every array.

Nothing is computed or simplified here: models keep the numbers that they were given, witnesses their free choices.
"""

import hashlib
import itertools
import math
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from calipers.core.model import AbstractDiscreteModel
from calipers.core.witness import (
    Bethe,
    Block,
    Branches,
    Bucket,
    Decomposition,
    Drawing,
    Formula,
    Link,
    LogDeterminant,
    Search,
    Split,
    Tangent,
    Witness,
)
from calipers.io.archive import Arrays, digests, folder, integers, pieces, ragged
from calipers.io.uai import read_uai
from calipers.models.factor_graph import FactorGraph
from calipers.models.ising import Ising

Extra = tuple[tuple[tuple[int, ...], np.ndarray], ...]


def model_parts(model: AbstractDiscreteModel) -> tuple[str, Arrays]:
    """A model's kind (`ising`, `uai` or `tables`) and its canonical arrays."""
    if isinstance(model, Ising):
        numbers = {name: getattr(model, name) for name in ("couplings", "fields", "offset", "beta")}
        parts = {name: np.atleast_1d(np.asarray(value, np.float64)) for name, value in numbers.items()}
        return "ising", parts | {"edges": np.asarray(model.edges, np.int64).reshape(-1, 2), "evidence": _pairs(())}
    graph = model.factor_graph()
    common = {"evidence": _pairs(graph.evidence), "beta": np.array([graph.beta], np.float64)}
    if graph.text is not None:
        return "uai", {"text": np.frombuffer(graph.text, np.uint8)} | common
    return "tables", {"sizes": integers(graph.sizes), "values": _flat(graph.tables)} | ragged(
        "scopes", graph.scopes
    ) | common


def model_digest(kind: str, parts: Arrays) -> str:
    """SHA-256 of the model's canonical form: its kind and the digest of every part."""
    lines = [kind, *(f"{name} {digest}" for name, digest in sorted(digests(parts).items()))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def build_model(kind: str, parts: Arrays) -> AbstractDiscreteModel:
    """The model of which these are the parts."""
    beta = float(parts["beta"][0])
    if kind == "ising":
        return Ising(parts["edges"], parts["couplings"], parts["fields"], beta, float(parts["offset"][0]))
    evidence = tuple((int(v), int(state)) for v, state in parts["evidence"])
    if kind == "uai":
        graph = _read_text(parts["text"].tobytes())
        return FactorGraph(graph.sizes, graph.scopes, graph.tables, evidence, beta, graph.text)
    sizes, scopes = parts["sizes"].tolist(), [tuple(scope) for scope in pieces(parts, "scopes")]
    tables = _tables(scopes, sizes, parts["values"])
    return FactorGraph(tuple(sizes), tuple(scopes), tuple(t for _, t in tables), evidence, beta)


def _read_text(text: bytes) -> FactorGraph:
    with tempfile.TemporaryDirectory() as place:
        file = Path(place, "model.uai")
        file.write_bytes(text)
        return read_uai(file)


def encode(witness: Witness, sizes: Sequence[int]) -> Arrays:
    """A witness as flat arrays.

    **Raises:** `ValueError` when it does not fit a model with these `sizes`.
    """
    if isinstance(witness, Formula):
        form = {"form": np.frombuffer(witness.form.encode(), np.uint8)}
        return form if witness.sites is None else form | {"sites": np.asarray(witness.sites, np.int64)}
    if isinstance(witness, Split):
        arrays = {name: integers(np.ravel(getattr(witness, name)).tolist()) for name in ("tree", "part")}
        for k, one in enumerate(witness.witnesses):
            arrays |= {f"{k}/{name}": array for name, array in encode(one, sizes).items()}
        return arrays
    if isinstance(witness, Search):
        return _encode_search(witness, sizes)
    kept = [np.asarray(states, np.int64).tolist() for states in witness.states]
    if len(kept) != len(sizes):
        raise ValueError(f"a witness about {len(kept)} variables does not fit a model of {len(sizes)}")
    counts, arrays = [len(states) for states in kept], ragged("kept", kept)
    if isinstance(witness, Drawing):
        return arrays | {name: np.asarray(getattr(witness, name), np.int64) for name in Drawing._fields[1:]}
    if isinstance(witness, Decomposition):
        return arrays | _encode_buckets(witness.buckets, counts)
    if isinstance(witness, LogDeterminant):
        return arrays | {"diagonal": _flat([witness.diagonal])}
    if isinstance(witness, Bethe):
        arrays |= {"flips": integers(witness.flips), "link": integers(link.factor for link in witness.links)}
        arrays["covariance"] = _flat(link.covariance for link in witness.links)
        arrays["covariance_start"] = np.cumsum([0, *(np.size(c) for _, c in witness.links)], dtype=np.int64)
    blocks = witness.blocks
    return arrays | ragged("order", [b.order for b in blocks]) | _encode_extra([b.extra for b in blocks], counts)


def _encode_search(witness: Search, sizes: Sequence[int]) -> Arrays:
    arrays: Arrays = {}
    for name in ("variables", "nodes", "flips"):
        arrays |= ragged(name, [getattr(tree, name).tolist() for tree in witness.trees])
    for folder_, one in (("bounds", witness.bounds), ("parts", witness.parts)):
        found = {} if one is None else encode(one, sizes)
        arrays |= {f"{folder_}/{name}": array for name, array in found.items()}
    return arrays


def _encode_buckets(buckets: Sequence[Bucket], counts: Sequence[int]) -> Arrays:
    arrays = {name: integers(getattr(b, name) for b in buckets) for name in ("variable", "parent")}
    arrays["weight"] = np.array([b.weight for b in buckets], np.float64)
    return arrays | ragged("factors", [b.factors for b in buckets]) | _encode_extra([b.extra for b in buckets], counts)


def _flat(tables: Iterable[np.ndarray]) -> np.ndarray:
    """Tables one after another, float64."""
    return np.concatenate([np.zeros(0), *(np.asarray(t, np.float64).ravel() for t in tables)])


def decode(arrays: Arrays) -> Witness:
    """The inverse of `encode`."""
    if "form" in arrays:
        return Formula(arrays["form"].tobytes().decode(), arrays.get("sites"))
    if "rotation" in arrays:
        states = tuple(np.array(kept, np.int64) for kept in pieces(arrays, "kept"))
        return Drawing(states, *(arrays[name] for name in Drawing._fields[1:]))
    if "tree" in arrays:
        count = 1 + max(arrays["part"].tolist(), default=-1)
        return Split(arrays["tree"], arrays["part"], tuple(_decode(folder(arrays, str(k))) for k in range(count)))
    if "nodes" in arrays:
        return _decode_search(arrays)
    if "diagonal" in arrays:
        return LogDeterminant(tuple(np.array(kept, np.int64) for kept in pieces(arrays, "kept")), arrays["diagonal"])
    return _decode(arrays)


def _decode_search(arrays: Arrays) -> Search:
    lists = (pieces(arrays, name) for name in ("variables", "nodes", "flips"))
    trees = tuple(Branches(*(np.array(x, np.int64) for x in row)) for row in zip(*lists, strict=True))
    bounds, parts = (folder(arrays, name) for name in ("bounds", "parts"))
    found = [_decode(x) for x in (bounds, parts) if x]
    if not all(isinstance(x, Decomposition) for x in found):
        raise ValueError("a search rests on decompositions")
    return Search(found[0], trees, *found[1:])  # type: ignore[arg-type]


def _decode(arrays: Arrays) -> Decomposition | Tangent | Bethe:
    """A witness that is not divided."""
    states = tuple(np.array(kept, np.int64) for kept in pieces(arrays, "kept"))
    tables = _tables([tuple(s) for s in pieces(arrays, "scopes")], [len(s) for s in states], arrays["values"])
    extras = [tuple(tables[a:b]) for a, b in itertools.pairwise(arrays["extra_start"].tolist())]
    if "order" in arrays:
        blocks = tuple(Block(tuple(o), e) for o, e in zip(pieces(arrays, "order"), extras, strict=True))
        return Bethe(states, arrays["flips"], blocks, _links(arrays)) if "link" in arrays else Tangent(states, blocks)
    variables, weights, parents = (arrays[name].tolist() for name in ("variable", "weight", "parent"))
    factors = [tuple(listed) for listed in pieces(arrays, "factors")]
    return Decomposition(states, tuple(map(Bucket, variables, weights, factors, extras, parents)))


def _links(arrays: Arrays) -> tuple[Link, ...]:
    """Covariances back as they were written, flat."""
    cuts = arrays["covariance_start"].tolist()
    pairs = zip(arrays["link"].tolist(), itertools.pairwise(cuts), strict=True)
    return tuple(Link(a, arrays["covariance"][start:end]) for a, (start, end) in pairs)


def _encode_extra(extras: Sequence[Extra], counts: Sequence[int]) -> Arrays:
    """Extra tables: `extra_start` cuts their list into buckets or blocks; `scopes` and `values` hold them in order."""
    pairs = list(itertools.chain.from_iterable(extras))
    for scope, table in pairs:
        if np.shape(table) != tuple(counts[v] for v in scope):
            raise ValueError(f"an extra table of shape {np.shape(table)} does not fit the kept states of {scope}")
    arrays = ragged("scopes", [scope for scope, _ in pairs])
    arrays["values"] = _flat(table for _, table in pairs)
    arrays["extra_start"] = np.cumsum([0, *(len(e) for e in extras)], dtype=np.int64)
    return arrays


def _tables(
    scopes: Sequence[tuple[int, ...]], sizes: Sequence[int], values: np.ndarray
) -> list[tuple[tuple[int, ...], np.ndarray]]:
    """Consecutive values as one table a scope."""
    shapes = [[sizes[v] for v in scope] for scope in scopes]
    cuts = np.cumsum([0, *map(math.prod, shapes)]).tolist()
    rows = zip(scopes, shapes, itertools.pairwise(cuts), strict=True)
    return [(scope, values[a:b].reshape(shape)) for scope, shape, (a, b) in rows]


def _pairs(evidence: Sequence[tuple[int, int]]) -> np.ndarray:
    return np.array(evidence, np.int64).reshape(-1, 2)
