"""Command line: `python -m calipers_check CERTIFICATE [--model FILE] [--evidence FILE]`.

Exit codes: 0 every claim follows; 2 usage; 4 a claim does not follow, the file is damaged or the model differs;
5 the file is unreadable.
"""

import argparse
import json
import math
import sys

from calipers_check import MAX_WORK, Checked, Unreadable, Verdict, __version__, check

EXAMPLES = """examples:
  python -m calipers_check grid.cert
      does every claim follow, for the model that the certificate holds?
  python -m calipers_check grid.cert --model grid.uai --evidence grid.uai.evid
      ... and is that model exactly the one in my files?
  python -m calipers_check magnet.cert --model magnet.npz --beta 0.5 --json
"""


def main(arguments: list[str] | None = None) -> int:
    """Checks one certificate, prints one line a claim, and returns the exit code."""
    options = _parser().parse_args(arguments)
    if options.model is None and (options.evidence is not None or options.beta != 1.0):
        _parser().error("--evidence and --beta go with --model")
    try:
        verdict = check(options.certificate, options.model, options.evidence, options.beta, options.work)
    except Unreadable as error:
        print(f"unreadable: {error}", file=sys.stderr)
        return 5
    print(json.dumps(_document(verdict), ensure_ascii=False) if options.json else _text(verdict))
    return 0 if verdict.accepted else 4


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="calipers_check",
        description="Checks a certificate of bounds on log Z in interval arithmetic, trusting nothing that made it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("certificate", metavar="CERTIFICATE", help="a .cert file")
    parser.add_argument("--model", metavar="FILE", help="your .uai, .uai.gz or Ising .npz; must be the certificate's")
    parser.add_argument("--evidence", metavar="FILE", help='observed variables of that model: a file, or "3=1,7=0"')
    parser.add_argument("--beta", type=float, default=1.0, help="inverse temperature, times the file's own (default 1)")
    parser.add_argument("--work", type=int, default=MAX_WORK, help="most table entries to compute (default 2^32)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--version", action="version", version=f"calipers_check {__version__}")
    return parser


def _text(verdict: Verdict) -> str:
    if not verdict.accepted:
        return f"rejected: {verdict.reason}"
    lines = [_claim(c) for c in verdict.claims]
    return "\n".join([*lines, f"accepted for {verdict.about} in {verdict.seconds:.2f} s"])


def _claim(checked: Checked) -> str:
    sign = "≥" if checked.side == "lower" else "≤"
    return f"log Z {sign} {checked.claim} nats follows ({checked.kind}; {checked.method or 'no method named'})"


def _document(verdict: Verdict) -> dict:
    claims = [c._asdict() | {"proved": c.proved if math.isfinite(c.proved) else str(c.proved)} for c in verdict.claims]
    return verdict._asdict() | {"claims": claims}


if __name__ == "__main__":
    sys.exit(main())
