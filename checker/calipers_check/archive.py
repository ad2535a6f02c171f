"""Reading the zip: `header.json` and `.npy` arrays, every one of them hashed, none of them trusted.

Sizes are limited before anything is allocated; arrays are one- or two-dimensional int64, float64 or bytes, in C order,
and are rebuilt from raw bytes (no pickles). A zip that cannot be unpacked is damaged; anything else is unreadable.
"""

import hashlib
import io
import json
import zipfile
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from calipers_check.errors import Reject, Unreadable

FORMAT = 1
MAX_BYTES = 2**29  # unpacked size of a whole certificate
MAX_HEADER = 2**24
DTYPES = ("<i8", "<f8", "|u1")


class Archive(NamedTuple):
    """A header and arrays whose digests are those the header states."""

    header: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def under(self, prefix: str) -> dict[str, np.ndarray]:
        """The arrays in one folder, by their bare names."""
        start = prefix + "/"
        return {name[len(start) :]: array for name, array in self.arrays.items() if name.startswith(start)}


def digest(array: np.ndarray) -> str:
    """SHA-256 of an array's type, shape and little-endian bytes in C order."""
    array = np.ascontiguousarray(array)
    head = f"{array.dtype.newbyteorder('<').str} {','.join(map(str, array.shape))}\n".encode()
    return hashlib.sha256(head + array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()).hexdigest()


def read(path: str | Path) -> Archive:
    """Opens a certificate and checks every array against its digest.

    **Raises:** `Unreadable` when it is not a certificate of this format, `Reject` when it is damaged.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror or error}") from None
    if data[:4] != b"PK\x03\x04" and not zipfile.is_zipfile(io.BytesIO(data)):
        raise Unreadable(f"{path} is not a certificate: it is not a zip archive")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _unpack(archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        raise Reject(f"the archive is damaged: {error}") from None


def _unpack(archive: zipfile.ZipFile) -> Archive:
    size = sum(entry.file_size for entry in archive.infolist())
    if size > MAX_BYTES:
        raise Unreadable(f"the certificate unpacks to {size} bytes; this checker reads at most {MAX_BYTES}")
    names = archive.namelist()
    if "header.json" not in names:
        raise Unreadable("not a certificate: the zip archive holds no header.json")
    if len(set(names)) != len(names):
        raise Reject("the archive holds two entries of the same name")
    header = _header(archive.read("header.json"))
    arrays = {}
    for name, stated in _table(header, "sha256").items():
        if name + ".npy" not in names:
            raise Reject(f"array {name[:80]!r} is missing from the archive")
        arrays[name] = _array(archive.read(name + ".npy"), name)
        if digest(arrays[name]) != stated:
            raise Reject(f"array {name} is damaged: its SHA-256 is not the one in the header")
    return Archive(header, arrays)


def _header(raw: bytes) -> dict[str, Any]:
    if len(raw) > MAX_HEADER:
        raise Unreadable("not a certificate: header.json is too large")
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError):
        raise Unreadable("not a certificate: header.json is not JSON") from None
    if not isinstance(header, dict) or "format" not in header:
        raise Unreadable("not a certificate: header.json states no format")
    if header["format"] != FORMAT or isinstance(header["format"], bool):
        raise Unreadable(f"certificate format {str(header['format'])[:20]} is unknown; this checker knows {FORMAT}")
    return header


def _table(header: dict[str, Any], key: str) -> dict[str, Any]:
    table = header.get(key)
    if not isinstance(table, dict):
        raise Reject(f"the header's {key} is not a table")
    return table


def _array(raw: bytes, name: str) -> np.ndarray:
    """One .npy entry, version 1.0; `np.load` would allocate whatever shape the entry claims."""
    stream = io.BytesIO(raw)
    try:
        version = np.lib.format.read_magic(stream)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream) if version == (1, 0) else ((), True, None)
    except (ValueError, TypeError, SyntaxError, RecursionError):
        raise Reject(f"array {name} is not an npy file") from None
    count = 1
    for side in shape:
        count *= side
    body = raw[stream.tell() :]
    if dtype is None or dtype.str not in DTYPES or (fortran and len(shape) > 1) or len(shape) > 2:
        raise Reject(f"array {name} is not a 1- or 2-dimensional int64, float64 or byte array")
    if any(side < 0 for side in shape) or count * dtype.itemsize != len(body):
        raise Reject(f"array {name} states a shape that its bytes do not fill")
    return np.frombuffer(body, dtype).reshape(shape)


def ints(arrays: dict[str, np.ndarray], name: str, columns: int = 0) -> np.ndarray:
    """An int64 array, flat, or with so many columns."""
    return _typed(arrays, name, "<i8", columns)


def floats(arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    """A flat float64 array."""
    return _typed(arrays, name, "<f8", 0)


def _typed(arrays: dict[str, np.ndarray], name: str, dtype: str, columns: int) -> np.ndarray:
    array = arrays.get(name)
    if array is None:
        raise Reject(f"the certificate has no array {name}")
    if array.dtype.str != dtype or array.ndim != (2 if columns else 1) or (columns and array.shape[1] != columns):
        raise Reject(f"array {name} has type {array.dtype} and shape {array.shape}; format {FORMAT} says otherwise")
    return array


def cuts(arrays: dict[str, np.ndarray], name: str, length: int) -> list[int]:
    """Places, from 0 to `length`, where a list of that length is cut."""
    start = ints(arrays, name)
    if len(start) == 0 or start[0] != 0 or start[-1] != length or (start[1:] < start[:-1]).any():
        raise Reject(f"array {name} does not cut what it should into pieces")
    return start.tolist()


def ragged(arrays: dict[str, np.ndarray], name: str) -> list[list[int]]:
    """Lists of integers of different lengths: the array `name` cut at the array `name`_start."""
    flat = ints(arrays, name).tolist()
    return [flat[a:b] for a, b in pairwise(cuts(arrays, f"{name}_start", len(flat)))]
