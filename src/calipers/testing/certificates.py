"""What every certificate must pass: true ones are accepted, other claims are not, no witness proves a falsehood.

    check_certificates(answer, model, log_z, folder, random)

For each deterministic side: its certificate is accepted, for the user's `file` if there is one; a claim a bit tighter
than what the witness proves is refused; a witness with one number changed, or two exchanged, every digest made new,
is refused or proves something that is still true. **Cost** some four checks a side.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from calipers.core.answer import Answer, Side
from calipers.core.model import AbstractDiscreteModel
from calipers.io.archive import Arrays, read_archive, write_archive
from calipers.io.certificate import Certificate
from calipers.testing.requirements import require, slack_of

_INWARD = 1e-9  # relative to max(1, |claim|): a tighter claim than the witness proves


class Tally(NamedTuple):
    """How many sides left a witness and how many did not; forgeries refused, and those that proved something true."""

    accepted: int = 0
    without: tuple[str, ...] = ()
    refused: int = 0
    weakened: int = 0

    def plus(self, other: "Tally") -> "Tally":
        """Both together."""
        return Tally(*(a + b for a, b in zip(self, other, strict=True)))  # type: ignore[operator]


def check_certificates(
    answer: Answer,
    model: AbstractDiscreteModel,
    log_z: float,
    folder: Path,
    random: np.random.Generator,
    file: dict[str, Any] | None = None,
    forgeries: int = 2,
) -> Tally:
    """Checks the certificates of an answer's deterministic sides.

    **Arguments:** `log_z`, the truth; `folder` to write in; `random` draws what is forged; `file`, what the checker is
    given beside the certificate: `model`, `evidence`; `forgeries`, changed witnesses a side.

    **Raises:** `AssertionError` saying what went wrong.
    """
    assert answer.deterministic is not None
    total = Tally()
    for name, side, nothing in zip(("lower", "upper"), answer.deterministic, (-math.inf, math.inf), strict=True):
        if side.value not in (nothing, -math.inf if name == "lower" else nothing):
            total = total.plus(
                _check_side(name, side, model, log_z, folder / "one.cert", random, file or {}, forgeries)
            )
    return total


def _check_side(
    name: str,
    side: Side,
    model: AbstractDiscreteModel,
    log_z: float,
    path: Path,
    random: np.random.Generator,
    file: dict[str, Any],
    forgeries: int,
) -> Tally:
    from calipers_check import check

    try:
        one = Answer(lower=side) if name == "lower" else Answer(upper=side)
        certificate = Certificate.from_answer(one, model)
    except ValueError:
        return Tally(without=(f"{name} by {side.method}",))
    certificate.save(path)
    verdict = check(path, **file)
    require(verdict.accepted, f"the certificate of log Z, {name} {side.value!r} by {side.method}: {verdict.reason}")
    proved, (header, arrays) = verdict.claims[0].proved, read_archive(path)
    _check_true(name, proved, log_z, side.method)
    if math.isfinite(proved):
        inward = proved + _INWARD * max(1.0, abs(proved)) * (1.0 if name == "lower" else -1.0)
        _write(path, header, arrays, inward)
        require(not check(path).accepted, f"{side.method}: the claim {inward!r} was accepted; {proved!r} is proved")
    refused = 0
    for _ in range(forgeries):
        _write(path, header, _forged(arrays, random), -math.inf if name == "lower" else math.inf)
        verdict = check(path, work=1 << 24)
        refused += not verdict.accepted
        for claim in verdict.claims:
            _check_true(name, claim.proved, log_z, f"a forged witness of {side.method}")
    return Tally(1, (), refused, forgeries - refused)


def _check_true(name: str, proved: float, log_z: float, whose: str) -> None:
    slack = slack_of(log_z)
    true = proved <= log_z + slack if name == "lower" else proved >= log_z - slack
    require(true or math.isnan(proved), f"{whose} proves that {name} is {proved!r}, but log Z = {log_z!r}")


def _write(path: Path, header: dict[str, Any], arrays: Arrays, claim: float) -> None:
    """The same file with another claim, and fresh digests."""
    claims = [row | {"claim": repr(claim)} for row in header["claims"]]
    write_archive(path, header | {"claims": claims}, arrays)


def _forged(arrays: Arrays, random: np.random.Generator) -> Arrays:
    """The same arrays with one number of the witness changed, or two exchanged."""
    names = [name for name, array in arrays.items() if not name.startswith("model/") and array.size]
    if not names:
        return arrays
    name = names[int(random.integers(len(names)))]
    array = arrays[name].copy()
    flat = array.reshape(-1)
    at, other = random.integers(flat.size, size=2)
    if random.random() < 0.3:
        flat[[at, other]] = flat[[other, at]]
    elif array.dtype == np.float64:
        flat[at] = random.choice(_numbers(flat[at]))
    elif array.dtype == np.int64:
        flat[at] += random.choice([-1, 1, 1, 2])
    else:
        flat[at] ^= 1
    return arrays | {name: array}


def _numbers(x: float) -> Sequence[float]:
    return [0.0, -x, 2.0 * x, x + 1.0, x - 1.0, 1e-3, -math.inf, 0.5]
