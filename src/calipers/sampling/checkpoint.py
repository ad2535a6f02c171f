"""The file of an unfinished run: enough to go on as if it had never stopped, bit for bit.

An npz without pickles: what the run was (to be compared), the leaves of the kernel's state, the series so far. It is
written beside its place and moved there, so that a crash leaves the file before.
"""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np

FORMAT = "calipers chain 1"


def fingerprint(model: Any) -> str:
    """A hash of everything in a model: its arrays, its numbers, its structure."""
    import jax

    digest = hashlib.sha256()
    arrays, structure = jax.tree_util.tree_flatten(eqx.filter(model, lambda x: not callable(x)))
    digest.update(repr(structure).encode())
    for leaf in arrays:
        a = np.ascontiguousarray(leaf)
        digest.update(f"{a.dtype}{a.shape}".encode() + a.tobytes())
    return digest.hexdigest()


def write(path: str | os.PathLike[str], about: dict[str, str], arrays: dict[str, np.ndarray]) -> None:
    """Writes a checkpoint; `about` must be the same when it is read."""
    place = Path(path)
    handle, beside = tempfile.mkstemp(dir=place.parent, prefix=place.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            said = {f"about:{k}": np.array(v) for k, v in {**about, "format": FORMAT}.items()}
            np.savez(file, **(said | arrays))  # type: ignore[arg-type]
        os.replace(beside, place)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        raise


def read(path: str | os.PathLike[str], about: dict[str, str]) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint.

    **Raises:** `ValueError` when it is not one, or is of another run: the message says in what it differs.
    """
    try:
        with np.load(path, allow_pickle=False) as held:
            found = dict(held)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is no checkpoint: {error}") from None
    told = {k.removeprefix("about:"): str(v) for k, v in found.items() if k.startswith("about:")}
    for name, value in {**about, "format": FORMAT}.items():
        if told.get(name) != value:
            raise ValueError(f"{path} is of another run: its {name} is {told.get(name)}, not {value}")
    return {k: v for k, v in found.items() if not k.startswith("about:")}
