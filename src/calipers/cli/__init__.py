"""The command line: what the commands are called, and how anything that goes wrong becomes one line and an exit code.

Exit codes: 0 target met, 1 internal error, 2 usage, 3 a limit came first (the bracket holds but is wider than asked),
4 verification failed, 5 input file invalid, 130 interrupted. Nothing here, nor at the top of a command's file, imports
jax, numba, scipy or numpy: `--help` must be quick.
"""

import io
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from calipers.cli.compare import compare
from calipers.cli.logz import logz
from calipers.cli.machine import process_start
from calipers.cli.make import make
from calipers.cli.sweep import sweep
from calipers.cli.verify import verify

EXAMPLES = """\b
Examples:
  calipers logz square:16x16,T=2.269
  calipers logz grid.uai --evidence grid.uai.evid --json
  calipers logz grid.uai --certificate grid.cert && calipers verify grid.cert --model grid.uai"""

app = typer.Typer(
    name="calipers",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for _command in (logz, verify, compare, sweep, make):
    app.command(_command.__name__, epilog=_command.__globals__["EXAMPLES"])(_command)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"calipers {version('calipers')}")
        raise typer.Exit


@app.callback(
    invoke_without_command=True,
    epilog=EXAMPLES,
)
def calipers(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """log Z from both sides: brackets on partition functions and evidences, each side saying what it rests on.

    MODEL is a file (.uai, .npz, a dimod BQM .json) or a spec such as square:64x64,T=2.269.
    """
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def main(args: Sequence[str] | None = None) -> int:
    """Runs one command line.

    **Arguments:** `args`, the words after the program's name; None takes the process's own, and then time limits count
    from the start of the process.

    **Returns:** the exit code.
    """
    start = process_start() if args is None else None
    _survive_narrow_terminals()
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)  # they are for the user, whatever the session's filters say
        warnings.showwarning = _show_warning
        try:
            command = typer.main.get_command(app)
            words = sys.argv[1:] if args is None else list(args)
            return int(command.main(words, prog_name="calipers", standalone_mode=False, obj=start) or 0)
        except (KeyboardInterrupt, typer.Abort):
            return _complain("interrupted", 130)
        except BrokenPipeError:  # the reader of our output has left: nobody to tell
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except Exception as error:
            return _explain(error)


def _explain(error: Exception) -> int:
    """One line and an exit code for what went wrong."""
    from calipers.io.errors import InputError, SpecError

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


if __name__ == "__main__":
    sys.exit(main())
