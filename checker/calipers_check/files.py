"""The user's own model file, read without the solver's help: `.uai`, `.uai.gz` with evidence, and Ising `.npz`.

The result has the same canonical parts as a certificate's model, so that the two can be compared by digest.
"""

import gzip
import re
import zipfile
import zlib
from pathlib import Path

import numpy as np

from calipers_check.errors import Reject, Unreadable
from calipers_check.model import Model, build, uai_structure

INLINE = re.compile(r"\d{1,9}=\d{1,9}(,\d{1,9}=\d{1,9})*")


def read_model(path: str | Path, evidence: str | None = None, beta: float = 1.0) -> Model:
    """The model in a file, observed as `evidence` says (a file, or "3=1,7=0"), raised to the power `beta`.

    **Raises:** `Unreadable` when a file cannot be read or does not hold a model.
    """
    try:
        kind, parts = _npz(path) if str(path).endswith(".npz") else _uai(path)
        parts["evidence"] = _evidence(evidence)
        parts["beta"] = np.atleast_1d(parts["beta"] * np.float64(beta))
        return build(kind, parts)
    except Reject as error:
        raise Unreadable(f"{path}: {error}") from None


def _bytes(path: str | Path) -> bytes:
    try:
        data = Path(path).read_bytes()
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as error:
        raise Unreadable(f"{path}: {getattr(error, 'strerror', None) or error}") from None


def _uai(path: str | Path) -> tuple[str, dict[str, np.ndarray]]:
    tokens = _bytes(path).split()
    tokens[:1] = [word.upper() for word in tokens[:1]]
    end = uai_structure(tokens)[-1]
    return "uai", {"text": np.frombuffer(b" ".join(tokens[:end]), np.uint8), "beta": np.ones(1)}


def _evidence(source: str | None) -> np.ndarray:
    """Sorted pairs. A file holds `n v x …`, or the same after a leading 1 (one sample), or a single 0."""
    if source is None:
        pairs: list = []
    elif INLINE.fullmatch(str(source)):
        pairs = [pair.split("=") for pair in str(source).split(",")]
    else:
        tokens = _bytes(source).split()
        rest = tokens[2 - len(tokens) % 2 :]  # counts make up one token of an odd number, two of an even one
        counts = tokens[: len(tokens) - len(rest)]
        if not all(t.isdigit() and len(t) < 10 for t in tokens) or not counts or int(counts[-1]) * 2 != len(rest):
            raise Unreadable(f"{source}: evidence is a count and as many pairs of variable and state")
        pairs = list(zip(rest[::2], rest[1::2], strict=True))
    found = sorted({(int(v), int(state)) for v, state in pairs})
    return np.array(found, np.int64).reshape(-1, 2)


def _npz(path: str | Path) -> tuple[str, dict[str, np.ndarray]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return "ising", _ising(arrays)
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror or error}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, TypeError, IndexError) as error:
        raise Unreadable(f"{path} does not hold an Ising model: {error}") from None


def _ising(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if "format" in arrays:
        rows, columns, values, n = _sparse(arrays)
    else:
        rows, columns = np.asarray(arrays["edges"], np.int64).reshape(-1, 2).T
        values, n = arrays["couplings"], len(arrays["fields"])
    edges, couplings = _merge(rows, columns, np.broadcast_to(np.asarray(values, np.float64), rows.shape))
    fields = arrays.get("fields", np.zeros(n))
    return {
        "edges": edges,
        "couplings": couplings,
        "fields": np.array(fields, np.float64),
        "offset": np.atleast_1d(np.asarray(arrays.get("offset", 0.0), np.float64)),
        "beta": np.atleast_1d(np.asarray(arrays.get("beta", 1.0), np.float64)),
    }


def _sparse(arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Upper triangle of a scipy-sparse matrix: coordinate, compressed-row or compressed-column form."""
    form, (n, _) = arrays["format"].item(), arrays["shape"].tolist()
    if form == b"coo":
        rows, columns = arrays["row"], arrays["col"]
    elif form in (b"csr", b"csc"):
        major = np.repeat(np.arange(n), np.diff(arrays["indptr"]))
        rows, columns = (major, arrays["indices"]) if form == b"csr" else (arrays["indices"], major)
    else:
        raise ValueError(f"sparse format {form!r} is not coo, csr or csc")
    upper = rows < columns
    return rows[upper], columns[upper], arrays["data"][upper], int(n)


def _merge(rows: np.ndarray, columns: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorted edges i < j; couplings of parallel edges are added up in the file's order."""
    pairs = np.sort(np.stack([rows, columns], axis=1).astype(np.int64), axis=1)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))  # stable
    pairs, values = pairs[order], values[order]
    first = np.flatnonzero(np.append(True, (pairs[1:] != pairs[:-1]).any(axis=1))[: len(pairs)])
    return pairs[first], np.add.reduceat(values, first) if len(first) else values
