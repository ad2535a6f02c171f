"""UAI files: the tables of a Markov random field or a Bayesian network as decimal numbers.

    MARKOV  n  |x_0| … |x_n−1|  f  (k v_1 … v_k) per factor  (count entries …) per table, the last variable fastest

White space separates; scopes of length 0 and domains of size 1 are legal. Every size is checked against the number of
words before anything is allocated. Parameters are θ = log(entry); entries too small for float64 keep their logarithm.
Cost: linear, some 20 MB/s. Fails on: entries that are negative or beyond float64, scopes of more than 64 variables.
"""

import itertools
import math
import re
import warnings
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, InvalidOperation, localcontext
from os import PathLike

import numpy as np

from calipers.io.errors import InputWarning
from calipers.io.evidence import Evidence, read_evidence
from calipers.io.tokens import Tokens, show
from calipers.io.uai_writer import write_mar, write_pr, write_uai
from calipers.models.factor_graph import FactorGraph

__all__ = ["read_uai", "write_mar", "write_pr", "write_uai"]

_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NOT_ZERO = re.compile(rb"[+-]?[0.]*[1-9]")
_SMALLEST = 2.2250738585072014e-308  # below it float64 loses digits
_FREE_STATES = 10**7  # states that variables outside all tables may have in all
_WIDE = Context(prec=40, Emin=MIN_EMIN, Emax=MAX_EMAX)

Path = str | PathLike[str]
Scopes = tuple[tuple[int, ...], ...]


def read_uai(path: Path, evidence: Evidence = None) -> FactorGraph:
    """Reads a UAI file, plain or gzip.

    **Arguments:** `path`; `evidence`, an evidence file, a text like `"3=1,7=0"`, a mapping {variable: state} or None.

    **Returns:** a `FactorGraph` whose `text` holds the words up to the end of the last table, joined by single spaces,
    the first in upper case.

    **Raises:** `InputError` with the line when the file is not what it should be; `SpecError` for a malformed evidence
    text. Words after the last table are ignored with one `InputWarning`.
    """
    tokens = Tokens(path)
    sizes, scopes, start = _read_preamble(tokens)
    starts, counts = _check_counts(tokens, sizes, scopes, start)
    end = int(starts[-1] + 1 + counts[-1]) if scopes else start
    logs = _read_entries(tokens, start, end, starts)
    if end < len(tokens):
        note = f"{len(tokens) - end} words after the last table are ignored"
        warnings.warn(f"{tokens.path}:{tokens.line(end)}: {note}", InputWarning, stacklevel=2)
    tables = _tables(logs, counts, [tuple([sizes[v] for v in scope]) for scope in scopes])
    text = b" ".join(itertools.chain([tokens.words[0].upper()], itertools.islice(tokens.words, 1, end)))
    observed = tuple(sorted(read_evidence(evidence, sizes).items()))
    return FactorGraph(sizes, scopes, tables, observed, text=text)


def _tables(logs: np.ndarray, counts: np.ndarray, shapes: list[tuple[int, ...]]) -> tuple[np.ndarray, ...]:
    """The entries cut into tables: those of one shape are laid out as one array, whose rows they are."""
    places: dict[tuple[int, ...], list[int]] = {}
    for a, shape in enumerate(shapes):
        places.setdefault(shape, []).append(a)
    first, tables = np.cumsum(counts) - counts, [np.zeros(())] * len(shapes)
    for shape, members in places.items():
        if len(members) == 1 or not shape:
            for a in members:
                tables[a] = logs[first[a] : first[a] + counts[a]].reshape(shape)
            continue
        rows = logs[first[members][:, None] + np.arange(math.prod(shape))].reshape(len(members), *shape)
        for a, table in zip(members, rows, strict=True):
            tables[a] = table
    return tuple(tables)


def _read_preamble(tokens: Tokens) -> tuple[tuple[int, ...], Scopes, int]:
    """The domains, the scopes, and the word at which the tables start."""
    if not tokens.words or tokens.words[0].upper() not in (b"MARKOV", b"BAYES"):
        came = f"came {show(tokens.words[0])}" if tokens.words else "the file is empty"
        tokens.fail(0, f"expected MARKOV or BAYES, but {came}")
    n = _count(tokens, 1, "the number of variables", 1)
    sizes = tokens.integers(2, n, "the number of states of a variable", low=1)
    if sum(sizes) > max(_FREE_STATES, len(tokens)):
        worst = 2 + max(range(n), key=sizes.__getitem__)
        tokens.fail(worst, f"{show(tokens.words[worst])} states are more than the tables of this file could hold")
    f = _count(tokens, 2 + n, "the number of factors", 3)
    scopes, place = _read_scopes(tokens, n, f, 3 + n)
    return tuple(sizes), scopes, place


def _read_scopes(tokens: Tokens, n: int, f: int, place: int) -> tuple[Scopes, int]:
    """The scopes: one look-up a word, and the careful way if anything is amiss."""
    number, scopes = {b"%d" % v: v for v in range(max(n, 65))}, []
    values, total = map(number.__getitem__, itertools.islice(tokens.words, place, None)), 0
    try:
        for _ in range(f):
            k = next(values)
            total += k
            scopes.append(tuple(itertools.islice(values, k)))
    except (KeyError, StopIteration):
        return _read_scopes_carefully(tokens, n, f, place)
    different, longest = sum(map(len, map(set, scopes))), max(map(len, scopes), default=0)
    if different < total or longest > 64 or max(map(max, filter(None, scopes)), default=-1) >= n:
        return _read_scopes_carefully(tokens, n, f, place)
    return tuple(scopes), place + f + total


def _read_scopes_carefully(tokens: Tokens, n: int, f: int, place: int) -> tuple[Scopes, int]:
    """The same word by word, so that what is wrong is found where it stands."""
    scopes = []
    for a in range(f):
        k = tokens.integer(place, "the number of variables of a scope", high=n)
        scope = tuple(tokens.integers(place + 1, k, "a variable of a scope", high=n - 1))
        if len(set(scope)) != k or k > 64:
            tokens.fail(place, f"the scope of factor {a} {'repeats a variable' if k <= 64 else 'is longer than 64'}")
        scopes.append(scope)
        place += 1 + k
    return tuple(scopes), place


def _count(tokens: Tokens, i: int, what: str, words_each: int) -> int:
    """Word i as a count of things that need `words_each` words each."""
    count = tokens.integer(i, what)
    if count > (len(tokens) - i) // words_each:
        tokens.fail(i, f"{what} is {count}, but only {len(tokens) - i - 1} words follow")
    return count


def _check_counts(tokens: Tokens, sizes: tuple[int, ...], scopes: Scopes, place: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each table starts (at its count) and how many entries it has; nothing else has been read yet."""
    needed = [math.prod([sizes[v] for v in scope]) for scope in scopes]
    if sum(needed) < len(tokens) - place:  # else some table does not fit, and numbers may not fit an int64
        counts = np.array(needed, np.int64)
        starts = place + np.cumsum(1 + counts) - 1 - counts
        word = {count: b"%d" % count for count in set(needed)}
        fits = len(starts) == 0 or starts[-1] + counts[-1] < len(tokens)
        if fits and list(map(tokens.words.__getitem__, starts.tolist())) == list(map(word.__getitem__, needed)):
            return starts, counts
    return _check_counts_carefully(tokens, scopes, needed, place)


def _check_counts_carefully(
    tokens: Tokens, scopes: Scopes, needed: list[int], place: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same table by table, so that what is wrong is found where it stands."""
    starts, end = [], len(tokens)
    for a, (scope, count) in enumerate(zip(scopes, needed, strict=True)):
        if tokens.integer(place, "the number of entries of a table") != count:
            came = show(tokens.words[place])
            tokens.fail(place, f"expected {count} entries for factor {a} over {list(scope)}, but the count is {came}")
        if place + count >= end:
            tokens.fail(end, f"expected {count} entries for factor {a}, but the file ends after {end - place - 1}")
        starts.append(place)
        place += 1 + count
    return np.array(starts, np.int64), np.array(needed, np.int64)


def _read_entries(tokens: Tokens, start: int, end: int, starts: np.ndarray) -> np.ndarray:
    """The logs of all entries; the words at `starts`, the counts, are left out."""
    words = tokens.words[start:end]
    distinct = set(words)
    try:
        strange = b"".join(distinct).translate(None, b"0123456789+-.eE")
        value = {} if strange else {w: float(w) for w in distinct}
    except ValueError:
        strange, value = b"?", {}
    if strange or not all(0 <= x < math.inf for x in value.values()):
        _find_bad_entry(tokens, start, end)
    with np.errstate(divide="ignore"):
        logs = np.log(np.fromiter(map(value.__getitem__, words), np.float64, len(words)))
    odd = {w for w, x in value.items() if x < _SMALLEST and _NOT_ZERO.match(w)}
    for i, word in enumerate(words) if odd else ():
        if word in odd:
            logs[i] = _log_decimal(tokens, start + i)
    return np.delete(logs, starts - start)


def _find_bad_entry(tokens: Tokens, start: int, end: int) -> None:
    for i in range(start, end):
        word = tokens.words[i]
        if not _NUMBER.fullmatch(word):
            tokens.fail(i, f"expected a number, but came {show(word)}")
        if not 0 <= float(word) < math.inf:
            tokens.fail(i, f"expected an entry that is finite and not negative, but came {show(word)}")


def _log_decimal(tokens: Tokens, i: int) -> float:
    """log of word i, a decimal number nearer to zero than float64 goes."""
    try:
        with localcontext(_WIDE):
            return float(Decimal(tokens.words[i].decode()).ln())
    except InvalidOperation:
        tokens.fail(i, f"expected an entry ≥ 0 with a sane exponent, but came {show(tokens.words[i])}")
