"""One piece of work ahead: the next one is read by a thread while this one is used.

Reading (files, Parquet's decoding, copies) and compiled arithmetic both let go of Python's lock, so the two overlap
where there are two cores. What comes out, and in which order, is what plain calls would give; errors come out where
their piece would have. **Cost** memory for one more piece.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Ahead:
    """A shelf with room for one thing that is being made."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="calipers-rows")
        self._name: Hashable = None
        self._made: Future[Any] | None = None

    def begin(self, name: Hashable, make: Callable[[], Any]) -> None:
        """Starts to make the thing called `name`, unless that is under way."""
        if self._made is None or self._name != name:
            self._name, self._made = name, self._pool.submit(make)

    def take(self, name: Hashable, make: Callable[[], Any]) -> Any:
        """The thing called `name`: the one under way if that is it; otherwise it is made here and now."""
        made, self._made = self._made, None
        if made is None or self._name != name:
            return make()
        return made.result()


def each(makes: Iterable[Callable[[], Any]]) -> Iterator[Any]:
    """What the calls return, in order, one ahead."""
    shelf, before = Ahead(), None
    for now in enumerate(makes):
        found = None if before is None else shelf.take(*before)
        shelf.begin(*now)
        if before is not None:
            yield found
        before = now
    if before is not None:
        yield shelf.take(*before)
