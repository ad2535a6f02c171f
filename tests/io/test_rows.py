"""Rows from every kind of source give one stream; an epoch has every row once; a slot holds any row alike."""

import itertools
import sys

import numpy as np
import pytest

import calipers as cal
from calipers.io.rows import ArrayRows
from calipers.io.shuffle import Place, Shuffle, blocks

N = 103


class Counted(ArrayRows):
    """Arrays that remember what was read."""

    def __init__(self, tree):
        super().__init__(tree)
        self.asked = []

    def read(self, begin, end):
        self.asked.append(end - begin)
        return super().read(begin, end)


def stream(rows, batches=40, **options):
    shuffle, place, found = Shuffle(rows, 7, seed=[5], **options), Place(), []
    for _ in range(batches):
        batch, place = shuffle.take(place)
        found.append(batch)
    return found


def data():
    random = np.random.default_rng(0)
    return random.normal(size=(N, 3)).astype(np.float32), random.integers(0, 2, N).astype(np.int8)


@pytest.fixture
def sources(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    x, y = data()
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    parquet.write_table(
        arrow.table({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "y": y}), tmp_path / "rows.parquet", row_group_size=17
    )
    ends = [0, 1, 40, 41, 90, N]
    return {
        "arrays": cal.Rows.arrays((x, y)),
        "npy": cal.Rows.npy((tmp_path / "x.npy", tmp_path / "y.npy")),
        "parquet": cal.Rows.parquet(tmp_path / "rows.parquet", (["a", "b", "c"], "y")),
        "iterator": cal.Rows.iterator(lambda: ((x[a:b], y[a:b]) for a, b in itertools.pairwise(ends)), tmp_path),
    }


@pytest.mark.parametrize("kind", ["npy", "parquet", "iterator"])
def test_every_source_gives_the_same_stream(sources, kind):
    assert sources[kind].count == N
    for (x, y), (x0, y0) in zip(
        stream(sources[kind], piece=10, window=3), stream(sources["arrays"], piece=10, window=3), strict=True
    ):
        np.testing.assert_array_equal(x, x0)
        np.testing.assert_array_equal(y, y0)
        assert (x.dtype, y.dtype) == (x0.dtype, y0.dtype)


@pytest.mark.parametrize(("piece", "window"), [(10, 3), (103, 1), (1, 1), (50, 2), (64, 8), (7, 20)])
def test_an_epoch_has_every_row_once_and_epochs_differ(piece, window):
    order = np.concatenate(stream(cal.Rows.arrays(np.arange(N)), 3 * N // 7, piece=piece, window=window))
    first, second = order[:N], order[N : 2 * N]
    assert sorted(first) == sorted(second) == list(range(N))
    assert (first != second).any()


def test_every_slot_holds_every_row_alike(monkeypatch):
    """Whatever the permutations are: over all beginnings r, a slot holds each row exactly once."""
    for slot in (0, 5, 96, 102):
        found = []
        for r in range(N):
            monkeypatch.setattr(Shuffle, "begin", lambda self, epoch, r=r: r)
            shuffle = Shuffle(cal.Rows.arrays(np.arange(N)), 1, piece=10, window=3, seed=[2])
            found.append(int(shuffle.take(Place(0, slot))[0][0]))
        assert sorted(found) == list(range(N))


def test_a_stream_goes_on_from_its_place():
    rows = cal.Rows.arrays(np.arange(N))
    one, other, place = (Shuffle(rows, 7, piece=10, window=3, seed=[5]) for _ in range(2)), None, Place()
    first, other = one
    for _ in range(20):
        _, place = first.take(place)
    np.testing.assert_array_equal(first.take(place)[0], other.take(place)[0])


def test_memory_is_bounded_and_each_row_read_about_once():
    rows = Counted(np.arange(10_000))
    shuffle, place = Shuffle(rows, 64, piece=100, window=4), Place()
    while place.epoch == 0:
        _, place = shuffle.take(place)
    assert max(rows.asked) == 100
    assert sum(rows.asked) <= 10_000 + 2 * 4 * 100  # a window twice, and one of the next epoch
    assert len(shuffle._held[1]) == 400


def test_blocks_are_all_rows_in_order():
    np.testing.assert_array_equal(
        np.concatenate([part for part, _ in blocks(cal.Rows.arrays(np.arange(N)), 7, piece=20)]), np.arange(N)
    )


def test_bad_rows_are_told(tmp_path, sources):
    with pytest.raises(ValueError, match="one length"):
        cal.Rows.arrays((np.zeros(3), np.zeros(4)))
    with pytest.raises(ValueError, match="no column 'z'"):
        cal.Rows.parquet(tmp_path / "rows.parquet", ["a", "z"])
    with pytest.raises(ValueError, match="must be alike"):
        cal.Rows.iterator(lambda: iter([np.zeros(3), np.zeros((3, 2))]), tmp_path)
    with pytest.raises(ValueError, match="no piece"):
        cal.Rows.iterator(lambda: iter([]), tmp_path)
    (tmp_path / "no.npy").write_text("no")
    with pytest.raises(ValueError, match="npy"):
        cal.Rows.npy(tmp_path / "no.npy")


def test_missing_entries_are_refused(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"a": [1.0, None], "s": ["x", "y"]}), tmp_path / "holes.parquet")
    with pytest.raises(ValueError, match="missing"):
        cal.Rows.parquet(tmp_path / "holes.parquet", "a").read(0, 2)
    with pytest.raises(ValueError, match="numbers are needed"):
        cal.Rows.parquet(tmp_path / "holes.parquet", "s").read(0, 2)


def test_without_pyarrow_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match=r"calipers\[data\]"):
        cal.Rows.parquet(tmp_path / "x.parquet", "a")
