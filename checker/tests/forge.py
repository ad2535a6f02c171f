"""A second writer of certificates, from the format's description alone, so that tests can also write false ones."""

import hashlib
import io
import itertools
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np


def digest(array: np.ndarray) -> str:
    head = f"{array.dtype.str} {','.join(map(str, array.shape))}\n".encode()
    return hashlib.sha256(head + array.tobytes()).hexdigest()


def cut(name: str, lists: list) -> dict[str, np.ndarray]:
    start = np.cumsum([0, *map(len, lists)], dtype=np.int64)
    return {name: np.array(list(itertools.chain.from_iterable(lists)), np.int64), f"{name}_start": start}


def tables_model(sizes, scopes, logs, evidence=(), beta=1.0) -> tuple[str, dict[str, np.ndarray]]:
    values = np.concatenate([np.zeros(0), *(np.asarray(t, np.float64).ravel() for t in logs)])
    parts = {"sizes": np.array(sizes, np.int64), "values": values, "beta": np.array([beta], np.float64)}
    return "tables", parts | cut("scopes", scopes) | {"evidence": np.array(evidence, np.int64).reshape(-1, 2)}


def uai_model(text: str, evidence=(), beta=1.0) -> tuple[str, dict[str, np.ndarray]]:
    parts = {"text": np.frombuffer(text.encode(), np.uint8), "beta": np.array([beta], np.float64)}
    return "uai", parts | {"evidence": np.array(evidence, np.int64).reshape(-1, 2)}


def ising_model(edges, couplings, fields, beta=1.0, offset=0.0) -> tuple[str, dict[str, np.ndarray]]:
    parts = {"edges": np.array(edges, np.int64).reshape(-1, 2), "couplings": np.array(couplings, np.float64)}
    parts |= {"fields": np.array(fields, np.float64), "offset": np.array([offset], np.float64)}
    parts |= {"beta": np.array([beta], np.float64)}
    return "ising", parts | {"evidence": np.zeros((0, 2), np.int64)}


def extras(groups: list) -> dict[str, np.ndarray]:
    pairs = list(itertools.chain.from_iterable(groups))
    values = np.concatenate([np.zeros(0), *(np.asarray(t, np.float64).ravel() for _, t in pairs)])
    start = np.cumsum([0, *map(len, groups)], dtype=np.int64)
    return cut("scopes", [scope for scope, _ in pairs]) | {"values": values, "extra_start": start}


def decomposition(kept, buckets) -> dict[str, np.ndarray]:
    """`buckets`: rows (variable, weight, factors, extra, parent)."""
    variables, weights, factors, tables, parents = (
        (list(column) for column in zip(*buckets, strict=True)) if buckets else [[]] * 5
    )
    arrays = cut("kept", kept) | cut("factors", factors) | extras(tables)
    arrays |= {"variable": np.array(variables, np.int64), "parent": np.array(parents, np.int64)}
    return arrays | {"weight": np.array(weights, np.float64)}


def tangent(kept, blocks) -> dict[str, np.ndarray]:
    """`blocks`: rows (order, extra)."""
    return cut("kept", kept) | cut("order", [order for order, _ in blocks]) | extras([extra for _, extra in blocks])


def bethe(kept, flips, blocks, links) -> dict[str, np.ndarray]:
    """`links`: rows (factor, covariance table)."""
    start = np.cumsum([0, *(np.size(c) for _, c in links)], dtype=np.int64)
    values = np.concatenate([np.zeros(0), *(np.asarray(c, np.float64).ravel() for _, c in links)])
    arrays = tangent(kept, blocks) | {"flips": np.array(flips, np.int64), "covariance_start": start}
    return arrays | {"link": np.array([a for a, _ in links], np.int64), "covariance": values}


def split(tree, part, witnesses) -> dict[str, np.ndarray]:
    """`tree` in preorder: a variable, then a subtree for each state; -1 a leaf, -2 a part left out."""
    arrays = {"tree": np.array(tree, np.int64), "part": np.array(part, np.int64)}
    for k, witness in enumerate(witnesses):
        arrays |= {f"{k}/{name}": array for name, array in witness.items()}
    return arrays


def draft(model, *claims) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays; `claims` are rows (side, kind, claim, witness arrays)."""
    kind, parts = model
    arrays = {f"model/{name}": part for name, part in parts.items()}
    rows = []
    for i, (side, kind_of_claim, claim, witness) in enumerate(claims):
        arrays |= {f"w{i}/{name}": array for name, array in witness.items()}
        rows.append({"side": side, "kind": kind_of_claim, "claim": claim, "method": "by hand", "witness": f"w{i}"})
    return {"format": 1, "producer": "tests", "model": {"kind": kind}, "claims": rows}, arrays


def seal(path: Path, header: dict[str, Any], arrays: dict[str, np.ndarray], *, rehash_model: bool = True) -> Path:
    """Writes the file, every digest fresh, as a forger would."""
    header = dict(header)
    parts = {name[6:]: digest(array) for name, array in arrays.items() if name.startswith("model/")}
    if rehash_model and parts:
        kind = header["model"]["kind"]
        lines = [kind, *(f"{name} {parts[name]}" for name in sorted(parts))]
        sha = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        header["model"] = {"kind": kind, "parts": parts, "sha256": sha}
    header["sha256"] = {name: digest(array) for name, array in arrays.items()}
    return pack(path, json.dumps(header), arrays)


def pack(path: Path, header: str, arrays: dict[str, np.ndarray]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", header)
        for name, array in arrays.items():
            stream = io.BytesIO()
            np.lib.format.write_array(stream, array, version=(1, 0))
            archive.writestr(name + ".npy", stream.getvalue())
    return path


def enumerate_log_z(sizes, scopes, logs, evidence=(), beta=1.0) -> float:
    """log Z by summing over every configuration, float64."""
    observed, terms = dict(evidence), []
    for x in itertools.product(*map(range, sizes)):
        if all(x[v] == s for v, s in observed.items()):
            values = [np.asarray(t)[tuple(x[v] for v in scope)] for scope, t in zip(scopes, logs, strict=True)]
            terms.append(-math.inf if -math.inf in values else beta * math.fsum(values))
    top = max(terms, default=-math.inf)
    return top if top == -math.inf else top + math.log(math.fsum(math.exp(t - top) for t in terms))
