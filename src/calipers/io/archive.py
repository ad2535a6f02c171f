"""The zip under a certificate: `header.json` and hashed `.npy` arrays, the same bytes for the same content.

Lists of different lengths are one flat array and the places where it is cut. A digest is the SHA-256 of an array's
type, shape and little-endian bytes in C order. Cost: linear. Fails, with an `InputError`, on anything else.
"""

import hashlib
import io
import itertools
import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from calipers.io.errors import InputError

FORMAT = 1
Arrays = dict[str, np.ndarray]


def write_archive(path: str | PathLike[str], header: dict[str, Any], arrays: Arrays) -> None:
    """Writes the file beside its place and then moves it there: whole or not at all."""
    place = Path(path)
    part = place.with_name(place.name + ".part")
    document = json.dumps({"format": FORMAT} | header | {"sha256": digests(arrays)}, indent=1, ensure_ascii=False)
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(_entry("header.json"), document)
            for name, array in arrays.items():
                stream = io.BytesIO()
                np.lib.format.write_array(stream, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
                archive.writestr(_entry(name + ".npy"), stream.getvalue())
        os.replace(part, place)
    finally:
        part.unlink(missing_ok=True)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)  # dated 1980, so that equal certificates are equal files
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def read_archive(path: str | PathLike[str]) -> tuple[dict[str, Any], Arrays]:
    """The header and the arrays, their digests checked.

    **Raises:** `InputError` when the file cannot be read, is no certificate of this format, or is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            header = json.loads(archive.read("header.json"))
            found = header["format"]
            arrays = {name: _array(archive.read(name + ".npy")) for name in header["sha256"]} if found == FORMAT else {}
    except OSError as error:
        raise InputError(path, None, error.strerror or str(error)) from None
    except (zipfile.BadZipFile, zlib.error, KeyError, TypeError, EOFError, ValueError) as error:
        raise InputError(path, None, f"not a certificate: {error}") from None
    if found != FORMAT:
        raise InputError(path, None, f"certificate format {found!r} is unknown; expected {FORMAT}")
    if digests(arrays) != header["sha256"]:
        raise InputError(path, None, "the certificate is damaged: an array's SHA-256 is not the one in its header")
    return header, arrays


def _array(raw: bytes) -> np.ndarray:
    return np.load(io.BytesIO(raw), allow_pickle=False)


def digests(arrays: Arrays) -> dict[str, str]:
    """The digest of each array."""
    return {name: _digest(np.ascontiguousarray(array)) for name, array in arrays.items()}


def _digest(array: np.ndarray) -> str:
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    head = f"{little.dtype.str} {','.join(map(str, little.shape))}\n".encode()
    return hashlib.sha256(head + little.tobytes()).hexdigest()


def folder(arrays: Arrays, name: str) -> Arrays:
    """The arrays in one folder of the archive, by their bare names."""
    return {key.removeprefix(name + "/"): a for key, a in arrays.items() if key.startswith(name + "/")}


def integers(values: Iterable[int]) -> np.ndarray:
    """A flat int64 array."""
    return np.array([int(v) for v in values], np.int64)


def ragged(name: str, lists: Sequence[Sequence[int]]) -> Arrays:
    """Lists of integers as the array `name` and the places `name`_start where it is cut."""
    start = np.cumsum([0, *(len(one) for one in lists)], dtype=np.int64)
    return {name: integers(itertools.chain.from_iterable(lists)), f"{name}_start": start}


def pieces(arrays: Arrays, name: str) -> list[list[int]]:
    """The inverse of `ragged`."""
    flat = arrays[name].tolist()
    return [flat[a:b] for a, b in itertools.pairwise(arrays[f"{name}_start"].tolist())]
