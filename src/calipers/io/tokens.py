"""Text files as tokens between white space; line numbers are found only when something is wrong.

A file is read whole, gzip or not, and refused before it could fill the machine: a token costs some twenty-five times
its bytes while a model is built, so that a twenty-fifth of the memory is the most that is taken.
"""

import gzip
import os
import re
import stat
import zlib
from itertools import islice
from pathlib import Path
from typing import NoReturn

from calipers.io.errors import InputError

_DIGITS = 18  # more would not fit an int64


class Tokens:
    """The words of one file. `fail` and the readers of integers raise `InputError` with the line of the word."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.data = read_bytes(path)
        self.words = self.data.split()

    def __len__(self) -> int:
        return len(self.words)

    def line(self, i: int) -> int:
        """The line, from 1, of word i; of the last word when the file ends before it."""
        i = min(i, len(self.words) - 1)
        word = next(islice(re.finditer(rb"\S+", self.data), i, None), None) if i >= 0 else None
        return 1 if word is None else 1 + len(re.findall(rb"\r\n|\r|\n", self.data[: word.start()]))

    def fail(self, i: int, message: str) -> NoReturn:
        """Raises `InputError` at word i."""
        raise InputError(self.path, self.line(i), message)

    def integer(self, i: int, what: str, low: int = 0, high: int | None = None) -> int:
        """Word i as an integer in `low..high`; `what` names it in the message."""
        if i >= len(self.words):
            self.fail(i, f"expected {what}, but the file ends")
        word = self.words[i]
        if not word.lstrip(b"-").isdigit() or len(word) > _DIGITS:
            self.fail(i, f"expected {what}, an integer, but came {show(word)}")
        value = int(word) if word.isdigit() or word[1:].isdigit() else low - 1
        if value < low or (high is not None and value > high):
            span = f"at least {low}" if high is None else f"from {low} to {high}" if high >= low else "none"
            self.fail(i, f"expected {what} ({span}), but came {show(word)}")
        return value

    def integers(self, i: int, count: int, what: str, low: int = 0, high: int | None = None) -> list[int]:
        """`count` words from word i on, each as `integer` reads it."""
        words = self.words[i : i + count]
        if len(words) == count and b"".join(words).isdigit() and max(map(len, words)) <= _DIGITS:
            values = [int(w) for w in words]
            if min(values) >= low and (high is None or max(values) <= high):
                return values
        return [self.integer(j, what, low, high) for j in range(i, i + count)]


def show(word: bytes) -> str:
    """A word as it may be printed on one line."""
    text = word.decode("ascii", "backslashreplace")
    text = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return f"'{text}'" if len(text) <= 40 else f"'{text[:37]}...'"


def read_bytes(path: str | os.PathLike[str], limit: int | None = None) -> bytes:
    """The bytes of a file, unpacked if they are gzip, without a byte-order mark.

    **Arguments:** `limit`, the most bytes to accept, before and after unpacking (default: what memory allows).

    **Raises:** `InputError` when it is missing, not a regular file, unreadable, damaged or too large.
    """
    name, limit = os.fspath(path), limit or _most_bytes()
    try:
        status = os.stat(name)
        if not stat.S_ISREG(status.st_mode):
            raise InputError(name, None, "expected a file, but this is a folder or a device")
        if status.st_size > limit:
            raise InputError(name, None, f"the file has {status.st_size} bytes; this machine has memory for {limit}")
        data = Path(name).read_bytes()
        if data[:2] == b"\x1f\x8b":
            with gzip.open(name) as packed:
                data = packed.read(limit + 1)
        elif name.endswith(".gz"):
            raise InputError(name, None, "the name ends in .gz, but the file is not gzip data")
    except (OSError, EOFError, zlib.error, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(name, None, f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > limit:
        raise InputError(name, None, f"the file unpacks to more than the {limit} bytes this machine has memory for")
    return data.removeprefix(b"\xef\xbb\xbf")


def _most_bytes() -> int:
    """A twenty-fifth of the machine's memory."""
    if not hasattr(os, "sysconf"):
        return 1 << 28
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 25
