"""Rows of a data set that need not fit the memory: arrays, npy files, Parquet, or pieces from an iterator.

    rows.count          N
    rows.read(a, b)     rows a … b − 1: a tree of arrays, each with the rows along its first axis

A source is read at random, a piece at a time, and only what is asked for is held. Parquet is decoded a row group at a
time (the group in use is kept), so groups should be no longer than the pieces of the shuffle that reads them. What an
iterator yields is written once to a temporary file, and read from there: no shuffle in bounded memory reaches the end
of a stream that comes in one order, and a minibatch that cannot is biased. **Cost** one copy of what is read; an
iterator, its size on disk.
"""

import abc
import bisect
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from calipers.models.foreign import extra

Where = str | os.PathLike[str]


class Rows(abc.ABC):
    """N rows, read a range at a time."""

    count: int

    @abc.abstractmethod
    def read(self, begin: int, end: int) -> Any:
        """Rows begin … end − 1, copied into memory."""

    @staticmethod
    def arrays(tree: Any) -> "Rows":
        """Arrays or memory maps, or a tuple or dict of them, of one length."""
        return ArrayRows(tree)

    @staticmethod
    def npy(paths: Any) -> "Rows":
        """npy files, mapped and not loaded: a path, or a tuple or dict of paths."""
        return ArrayRows(jax.tree.map(_mapped, paths))

    @staticmethod
    def parquet(path: Where, columns: Any) -> "Rows":
        """A Parquet file: a tree in which a string is a column, and a list of strings a matrix of columns.

        `columns=(["x0", "x1"], "y")` hands (X, y) on, X of shape (rows, 2). It needs pyarrow, the extra `data`.
        """
        return ParquetRows(path, columns)

    @staticmethod
    def iterator(pieces: Callable[[], Iterable[Any]], folder: Where | None = None) -> "Rows":
        """Pieces (trees of arrays, any lengths) from an iterator, run once and kept in a temporary `folder`."""
        return SpooledRows(pieces, folder)


class ArrayRows(Rows):
    """Arrays in memory or mapped."""

    def __init__(self, tree: Any):
        self.treedef: Any
        leaves, self.treedef = jax.tree.flatten(tree)
        self.leaves = [leaf if isinstance(leaf, np.ndarray) else np.asarray(leaf) for leaf in leaves]
        self.count = _common([np.shape(leaf) for leaf in self.leaves])

    def read(self, begin: int, end: int) -> Any:
        return self.treedef.unflatten([np.array(leaf[begin:end]) for leaf in self.leaves])


class ParquetRows(Rows):
    """Columns of a Parquet file."""

    def __init__(self, path: Where, columns: Any):
        self.file = extra("pyarrow.parquet", "data").ParquetFile(path)
        self.treedef: Any
        self.leaves, self.treedef = jax.tree.flatten(columns, is_leaf=lambda c: isinstance(c, list))
        self.names = [name for leaf in self.leaves for name in ([leaf] if isinstance(leaf, str) else leaf)]
        if lost := [name for name in self.names if name not in self.file.schema_arrow.names]:
            raise ValueError(f"{path} has no column {lost[0]!r}; it has {', '.join(self.file.schema_arrow.names[:20])}")
        lengths = [self.file.metadata.row_group(i).num_rows for i in range(self.file.num_row_groups)]
        self.starts = [0, *np.cumsum(lengths).tolist()]
        self.count = _common([(self.starts[-1],)])
        self._held: tuple[int, list[np.ndarray]] = (-1, [])
        self._alone = threading.Lock()  # a file has one place, and one group is kept

    def read(self, begin: int, end: int) -> Any:
        first, last = bisect.bisect_right(self.starts, begin) - 1, bisect.bisect_left(self.starts, end)
        parts = []
        for group in range(first, last):
            low, high = max(begin - self.starts[group], 0), end - self.starts[group]
            with self._alone:
                parts.append([leaf[low:high] for leaf in self._group(group)])
        return self.treedef.unflatten([np.concatenate(leaf) for leaf in zip(*parts, strict=True)])

    def _group(self, group: int) -> list[np.ndarray]:
        if self._held[0] != group:
            self._held = (-1, [])  # before the next one is decoded
            table = self.file.read_row_group(group, columns=sorted(set(self.names)), use_threads=False)
            column = {name: self._numbers(name, table.column(name)) for name in table.column_names}
            found = [
                column[leaf] if isinstance(leaf, str) else np.stack([column[name] for name in leaf], 1)
                for leaf in self.leaves
            ]
            self._held = (group, found)
        return self._held[1]

    def _numbers(self, name: str, column: Any) -> np.ndarray:
        if column.null_count:
            raise ValueError(f"the column {name!r} has entries that are missing; drop or fill them first")
        values = column.to_numpy()
        if values.dtype.kind not in "biuf":
            raise ValueError(f"the column {name!r} holds {column.type}; numbers are needed")
        return values


class SpooledRows(Rows):
    """What an iterator yielded, on disk."""

    def __init__(self, pieces: Callable[[], Iterable[Any]], folder: Where | None = None):
        self._folder = Path(tempfile.mkdtemp(prefix="calipers-rows-", dir=folder))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        files: list[Any] = []
        self.treedef: Any = None
        self.kinds: list[tuple[np.dtype, tuple[int, ...]]] = []
        self.count = 0
        try:
            for piece in pieces():
                leaves, treedef = jax.tree.flatten(piece)
                arrays = [np.ascontiguousarray(leaf) for leaf in leaves]
                length, told = _common([a.shape for a in arrays]), [(a.dtype, a.shape[1:]) for a in arrays]
                if self.treedef is None:
                    self.treedef, self.kinds = treedef, told
                    files = [open(self._folder / f"{i}", "wb") for i in range(len(arrays))]  # noqa: SIM115
                if (treedef, told) != (self.treedef, self.kinds):
                    raise ValueError(f"a piece of {told} came after pieces of {self.kinds}; all must be alike")
                for file, array in zip(files, arrays, strict=True):
                    file.write(array.data)
                self.count += length
        finally:
            for file in files:
                file.close()
        if self.treedef is None:
            raise ValueError("the iterator yielded no piece")

    def read(self, begin: int, end: int) -> Any:
        parts = []
        for i, (dtype, shape) in enumerate(self.kinds):
            each = int(np.prod(shape, dtype=np.int64))
            place, size = self._folder / f"{i}", (end - begin) * each
            found = np.fromfile(place, dtype, size, offset=begin * each * dtype.itemsize)
            parts.append(found.reshape(end - begin, *shape))
        return self.treedef.unflatten(parts)


def as_rows(rows: Any) -> Rows:
    """`rows` as they are, or arrays as rows."""
    return rows if isinstance(rows, Rows) else ArrayRows(rows)


def _mapped(path: Where) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is no npy file that can be mapped: {error}") from None


def _common(shapes: list[tuple[int, ...]]) -> int:
    """The common length of arrays."""
    lengths = {shape[0] if shape else 0 for shape in shapes}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"rows need arrays of one length of one or more, along their first axis; {shapes} came")
    return lengths.pop()
