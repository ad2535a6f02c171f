"""Ising models as .npz files.

Ours:   edges (e, 2) integers, couplings (e,), fields (n,), beta () [1], offset () [0], labels (n,) JSON texts [none]
scipy:  a matrix saved by scipy.sparse.save_npz, the strict upper triangle of J: p(s) ∝ exp(β Σ_{i<j} J_ij s_i s_j),
        a positive J_ij is ferromagnetic, as everywhere here; no fields, β = 1. (Published ±J instances, such as those
        of github.com/cqsl/sparse-twobody-arnn, have this sign: their energy is −Σ J_ij s_i s_j.)

Nothing is unpickled. Each array's size is checked against the file before it is allocated.
"""

import io
import math
import warnings
import zipfile
import zlib
from os import PathLike, fspath
from typing import Any

import numpy as np
import scipy.sparse as sp

from calipers.io.errors import InputError, InputWarning
from calipers.io.labels import label_text, read_label
from calipers.io.tokens import read_bytes
from calipers.models.ising import Ising
from calipers.models.lattices import check_memory

_OURS = {"edges", "couplings", "fields", "beta", "offset", "labels"}
_NEEDED = ("edges", "couplings", "fields")
_DAMAGE = (zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError, SyntaxError)


def read_npz(path: str | PathLike[str]) -> Ising:
    """Reads a magnet.

    **Raises:** `InputError` when the file is missing, unreadable, damaged, too large, pickled, or not a magnet. Entries
    that are not known are ignored with one `InputWarning`.
    """
    name = fspath(path)
    arrays = read_arrays(name)
    try:
        if "format" in arrays:
            return _from_sparse(arrays)
        return _from_entries(name, arrays)
    except InputError:
        raise
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise InputError(name, None, str(error)) from None


def write_npz(model: Ising, path: str | PathLike[str]) -> None:
    """Writes a magnet so that `read_npz` gives back the same numbers; what lattice it is on is not kept.

    **Raises:** `ValueError` for labels that JSON cannot hold.
    """
    entries: dict[str, Any] = {"edges": model.edges, "couplings": model.couplings, "fields": model.fields}
    entries["beta"] = np.float64(model.beta)
    if model.offset:
        entries["offset"] = np.float64(model.offset)
    if model.labels is not None:
        entries["labels"] = np.array([label_text(label) for label in model.labels])
    with open(path, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **entries)


def read_arrays(name: str, limit: int | None = None) -> dict[str, np.ndarray]:
    """Every array of an .npz file; `limit`, the most bytes it may hold, unpacked (default: what memory allows).

    **Raises:** `InputError` when it is not such a file, or holds pickled objects, or more than it says.
    """
    data = read_bytes(name, limit)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            _check_unpacked(name, sum(m.file_size for m in members), len(members))
            return {m.filename.removesuffix(".npy"): _read_array(archive, m) for m in members}
    except zipfile.BadZipFile:
        raise InputError(
            name, None, "expected an .npz file (a zip of arrays); this is not one, or is damaged"
        ) from None
    except _DAMAGE as error:
        if isinstance(error, InputError):
            raise
        raise InputError(name, None, f"damaged or unsafe .npz file: {error or type(error).__name__}") from None


def _check_unpacked(name: str, size: int, members: int) -> None:
    try:
        check_memory(size // 4, 0)  # building a model takes some ten times its bytes
    except ValueError:
        raise InputError(name, None, f"unpacks to {size / 1e9:.3g} GB, more than this machine has memory for") from None
    if members > 1000:
        raise InputError(name, None, f"{members} arrays; a model has no more than a few")


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """One member; its header must say exactly as many bytes as the archive does."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = reader(file)
        if dtype.hasobject:
            raise ValueError(f"{member.filename} holds pickled objects, which are not read")
        if math.prod(shape) * dtype.itemsize != member.file_size - file.tell():
            raise ValueError(f"{member.filename} says shape {shape}, which its {member.file_size} bytes do not fill")
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _from_entries(name: str, arrays: dict[str, np.ndarray]) -> Ising:
    missing = [key for key in _NEEDED if key not in arrays]
    if missing:
        raise ValueError(f"expected arrays edges, couplings, fields and beta; {', '.join(missing)} missing")
    if ignored := sorted(set(arrays) - _OURS):
        note = f"{name}: entries {', '.join(ignored)[:80]} are not known and are ignored"
        warnings.warn(note, InputWarning, stacklevel=4)
    for key in _NEEDED[1:]:
        if arrays[key].ndim != 1:
            raise ValueError(f"{key} has shape {arrays[key].shape}; expected one dimension")
    labels = arrays.get("labels")
    return Ising.from_arrays(
        arrays["edges"],
        arrays["couplings"],
        arrays["fields"],
        beta=_scalar(arrays, "beta", 1.0),
        offset=_scalar(arrays, "offset", 0.0),
        labels=None if labels is None else [read_label(str(text)) for text in labels.tolist()],
    )


def _scalar(arrays: dict[str, np.ndarray], key: str, default: float) -> float:
    array = arrays.get(key, np.array(default))
    if array.size != 1 or array.dtype.kind not in "iuf":
        raise ValueError(f"{key} is {array.dtype} of shape {array.shape}; expected one number")
    return float(array.reshape(()))


def _from_sparse(arrays: dict[str, np.ndarray]) -> Ising:
    kind = arrays["format"].item()
    kind = kind.decode("ascii", "replace") if isinstance(kind, bytes) else str(kind)
    parts = {"csr": ("indices", "indptr"), "csc": ("indices", "indptr"), "coo": ("row", "col")}.get(kind)
    if parts is None:
        raise ValueError(f"a sparse matrix of format {kind[:20]!r} came; expected csr, csc or coo")
    missing = [key for key in ("data", "shape", *parts) if key not in arrays]
    if missing:
        raise ValueError(f"a sparse matrix without {', '.join(missing)}")
    data, (a, b) = arrays["data"], (arrays[key] for key in parts)
    shape = tuple(int(k) for k in arrays["shape"].ravel())
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] < 0:
        raise ValueError(f"a matrix of shape {shape} came; expected a square one, the upper triangle of J")
    if data.dtype.kind not in "iuf" or any(x.dtype.kind not in "iu" or x.ndim != 1 for x in (a, b)):
        raise ValueError("expected real couplings, with integer indices")
    check_memory(shape[0], len(data))
    row, column = (a, b) if kind == "coo" else _expand(data, a, b, shape[0], by_column=kind == "csc")
    if (np.asarray(row) >= np.asarray(column))[data != 0].any():
        raise ValueError("a coupling on or below the diagonal; expected the upper triangle, scipy.sparse.triu(J, 1)")
    kept = data != 0
    return Ising.from_arrays(np.stack([row[kept], column[kept]], axis=1), data[kept], np.zeros(shape[0]))


def _expand(data: np.ndarray, a: np.ndarray, b: np.ndarray, n: int, by_column: bool) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of every entry of a compressed matrix, whose consistency scipy checks."""
    matrix = (sp.csc_array if by_column else sp.csr_array)((data, a, b), shape=(n, n))
    matrix.check_format(full_check=True)
    found = matrix.tocoo()
    return found.row, found.col
