"""The command line: how anything that goes wrong becomes one line and an exit code. `app` holds the commands.

Exit codes: 0 target met, 1 internal error, 2 usage, 3 a limit came first (the bracket holds but is wider than asked),
4 verification failed, 5 input file invalid, 130 interrupted. Nothing here imports jax, numba, scipy or numpy: `--help`
must be quick.
"""

import io
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any


def main(args: Sequence[str] | None = None) -> int:
    """Runs one command line.

    **Arguments:** `args`, the words after the program's name; None takes the process's own: then time limits count
    from the start of the process, and an interrupted command leaves it at once.

    **Returns:** the exit code.
    """
    code = _run(args)
    if args is None and code == 130:
        # An interrupt that passed through an `eval` of text, caught or not, would make Python itself end by the signal.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _run(args: Sequence[str] | None) -> int:
    _survive_narrow_terminals()
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)  # they are for the user, whatever the session's filters say
        warnings.showwarning = _show_warning
        try:
            from typer.main import get_command

            from calipers.cli.app import app
            from calipers.cli.machine import process_start

            start = process_start() if args is None else None
            words = sys.argv[1:] if args is None else list(args)
            return int(get_command(app).main(words, prog_name="calipers", standalone_mode=False, obj=start) or 0)
        except KeyboardInterrupt:
            return _complain("interrupted", 130)
        except BrokenPipeError:  # the reader of our output has left: nobody to tell
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except Exception as error:
            return _explain(error)


def _explain(error: Exception) -> int:
    """One line and an exit code for what went wrong."""
    import typer

    from calipers.io.errors import InputError, SpecError

    if isinstance(error, typer.Abort):
        return _complain("interrupted", 130)
    usage = typer.BadParameter.__base__  # typer's UsageError, which it does not name
    if usage is not None and isinstance(error, usage):
        context: Any = getattr(error, "ctx", None)
        where = context.command_path if context else "calipers"
        return _complain(f"{error.format_message()} (see `{where} --help`)", 2)  # type: ignore[attr-defined]
    if isinstance(error, SpecError):
        return _complain(str(error), 2)
    if isinstance(error, InputError):
        return _complain(str(error), 5)
    if os.environ.get("CALIPERS_DEBUG"):
        traceback.print_exc()
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return _complain(f"internal error: {what} (set CALIPERS_DEBUG=1 for the traceback)", 1)


def _complain(message: str, code: int) -> int:
    print("calipers: " + " ".join(message.split()), file=sys.stderr)
    return code


def _survive_narrow_terminals() -> None:
    """Where the terminal has no ≤ or ∈, something else stands for them; the numbers come out."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print("calipers: warning: " + " ".join(str(message).split()), file=sys.stderr)
