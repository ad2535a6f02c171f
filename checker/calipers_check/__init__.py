"""Checks certificates of bounds on log Z in interval arithmetic (Arb, 128 bits); docs/theorems.md has the proofs.

verdict = check("grid.cert", model="grid.uai", evidence="grid.uai.evid")
verdict.accepted, verdict.reason
"""

import math
import re
import time
from pathlib import Path
from typing import Any, NamedTuple

from flint import arb, ctx

from calipers_check.archive import Archive, read
from calipers_check.bethe import Bethe
from calipers_check.closed_form import ClosedForm
from calipers_check.decomposition import Decomposition
from calipers_check.errors import Reject, Unreadable
from calipers_check.files import read_model
from calipers_check.log_determinant import LogDeterminant
from calipers_check.model import Model, build, model_digest
from calipers_check.planar import Planar
from calipers_check.search import Search
from calipers_check.split import Split
from calipers_check.tables import MAX_WORK, Work
from calipers_check.tangent import Tangent

__version__ = "0.1.0"
__all__ = ["Checked", "Reject", "Unreadable", "Verdict", "check"]

BITS = 128
CLAIM = re.compile(r"[+-]?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,4})?|[+-]?inf")
Witness = Tangent | Decomposition | Bethe | Split | Search | LogDeterminant | ClosedForm | Planar
KINDS: dict[str, type[Witness]] = {
    "tangent": Tangent,
    "decomposition": Decomposition,
    "bethe": Bethe,
    "split": Split,
    "search": Search,
    "log_determinant": LogDeterminant,
    "closed_form": ClosedForm,
    "planar": Planar,
}


class Checked(NamedTuple):
    """One claim that was looked at: `proved` is the bound that follows from its witness, rounded outward to float64."""

    side: str
    kind: str
    claim: str
    method: str
    proved: float
    accepted: bool
    seconds: float


class Verdict(NamedTuple):
    """`accepted` iff every claim follows; `reason` says why not, `about` of which model, `claims` what was proved."""

    accepted: bool
    reason: str
    about: str
    sha256: str
    claims: tuple[Checked, ...]
    seconds: float


def check(
    path: str | Path,
    model: str | Path | None = None,
    evidence: str | Path | None = None,
    beta: float = 1.0,
    work: int = MAX_WORK,
) -> Verdict:
    """Recomputes every bound of a certificate from the model and the witness, and compares it with the claim.

    **Arguments:** `model`, the user's own file (`.uai`, `.uai.gz`, `.npz`), with `evidence` (a file or "3=1,7=0") and
    `beta` (multiplies the file's own): the certificate must then speak of exactly that model. `work`, the most table
    entries that may be computed in all, about a microsecond each.

    **Raises:** `Unreadable` when the certificate or the model is no file of a known format.
    """
    start, about, sha256, claims = time.perf_counter(), "", "", []
    Work.left = work
    try:
        with ctx.workprec(BITS):
            archive = read(path)
            file = None if model is None else read_model(model, None if evidence is None else str(evidence), beta)
            found, about = _model(archive, file, model)
            sha256 = found.sha256
            read_before: dict[tuple[str, str], Witness] = {}
            for entry in _claims(archive):
                claims.append(_check(entry, archive, found, read_before))
        reason = next((_refusal(c) for c in claims if not c.accepted), "")
    except Reject as error:
        reason = str(error)
    except MemoryError:
        reason = "the certificate needs more memory than there is"
    return Verdict(not reason, reason, about, sha256, tuple(claims), time.perf_counter() - start)


def _model(archive: Archive, file: Model | None, name: str | Path | None) -> tuple[Model, str]:
    """The model that is spoken of, and how to call it."""
    section = _table(archive.header.get("model"), "model")
    kind, parts, sha256 = section.get("kind"), archive.under("model"), section.get("sha256")
    stated = _table(section.get("parts"), "parts")
    embedded = build(str(kind), parts) if parts else None
    if embedded and (embedded.digests != stated or embedded.sha256 != sha256):
        raise Reject("the embedded model is not the one whose SHA-256 the header states")
    if file is None:
        if embedded is None:
            raise Reject("the certificate does not hold its model; give it with --model FILE")
        return embedded, "the embedded model"
    if file.kind != kind:
        raise Reject(f"the model differs: the certificate's is of kind {str(kind)[:20]!r}, {name} is {file.kind!r}")
    for part in file.digests:
        if file.digests[part] != stated.get(part):
            raise Reject(f"the model differs: {name} has other {part} than the certificate's model")
    if sha256 != file.sha256 or model_digest(file.kind, file.digests) != sha256:
        raise Reject(f"the model differs: {name} has another SHA-256")
    return file, str(name)


def _claims(archive: Archive) -> list[dict[str, Any]]:
    claims = archive.header.get("claims")
    if not isinstance(claims, list) or not claims:
        raise Reject("the certificate makes no claim")
    return [_table(claim, "claim") for claim in claims]


def _check(entry: dict[str, Any], archive: Archive, model: Model, known: dict[tuple[str, str], Witness]) -> Checked:
    start = time.perf_counter()
    side, kind, claim, witness = (entry.get(key) for key in ("side", "kind", "claim", "witness"))
    if side not in ("lower", "upper") or not isinstance(kind, str) or kind not in KINDS:
        raise Reject(f"claims of side {str(side)[:20]!r} and kind {str(kind)[:20]!r} are unknown to this checker")
    if not isinstance(claim, str) or not CLAIM.fullmatch(claim):
        raise Reject("a claim is not a decimal number")
    if entry.get("assumptions"):
        raise Reject("a claim rests on assumptions that this checker cannot check")
    if (kind, str(witness)) not in known:
        known[kind, str(witness)] = KINDS[kind](archive.under(str(witness)), model)
    value = known[kind, str(witness)].bound(side)
    method = "".join(c if c.isprintable() else "?" for c in str(entry.get("method", ""))[:200])
    accepted, proved = follows(claim, value, side), _outward(value, side)
    return Checked(side, kind, claim, method, proved, accepted, time.perf_counter() - start)


def follows(claim: str, value: arb | float, side: str) -> bool:
    """Whether the claim is certainly no tighter than the bound that `value` encloses."""
    stated, proved = arb(claim.lstrip("+")), arb(value)
    if proved.is_nan():
        return False
    return bool(stated <= proved) if side == "lower" else bool(stated >= proved)


def _outward(value: arb | float, side: str) -> float:
    """The bound as a float64 that follows from it, for display; NaN when none does."""
    ball = arb(value)
    edge, away = (ball.lower(), -math.inf) if side == "lower" else (ball.upper(), math.inf)
    number = float(edge)
    return number if math.isnan(number) or follows(repr(number), ball, side) else math.nextafter(number, away)


def _refusal(failed: Checked) -> str:
    sign = "≥" if failed.side == "lower" else "≤"
    return f"the claim log Z {sign} {failed.claim} does not follow; the witness proves {failed.proved!r}"


def _table(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Reject(f"the header's {name} is not a table")
    return value
