"""Signals, clocks and surroundings: what only a process of its own can show."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from calipers.cli.interrupt import interruptible

WIDE = "square:24x24,J=pm1,h=gauss:0.1,beta=1,seed=1"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_the_bracket_and_the_certificate(number, process, tmp_path):
    file = str(tmp_path / "cut.cert")
    line = [sys.executable, "-m", "calipers", "logz", WIDE, "--json", "--log", "json", "--certificate", file]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        for row in running.stderr:
            if "inf" not in (json.loads(row)["lower"], json.loads(row)["upper"], json.loads(row)["gap"]):
                break
        running.send_signal(number)
        out, _ = running.communicate(timeout=30)
    doc = json.loads(out)
    assert (running.returncode, doc["stopped"]) == (130, "interrupted")
    assert doc["log_z"]["lower"] < doc["log_z"]["upper"]
    assert process("verify", file).code == 0


@pytest.mark.parametrize("moment", [0.3, 0.6, 1.0, 1.5])
def test_an_early_signal_still_gives_a_document(moment):
    """In the imports, or not far behind them."""
    line = [sys.executable, "-m", "calipers", "logz", "square:200x200,J=pm1,h=gauss:1,seed=1", "--json", "--log", "off"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        time.sleep(moment)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
    assert running.returncode == 130, err
    assert "Traceback" not in err
    assert not out or json.loads(out)["stopped"] == "interrupted"  # nothing, when it had not begun


def test_the_limit_counts_from_the_start_of_the_process(process):
    start = time.monotonic()
    done = process("logz", WIDE, "--json", "--log", "off", "--time-limit", "6")
    assert done.code == 3
    assert time.monotonic() - start < 9.0
    assert done.json["seconds"] == pytest.approx(6.0, abs=1.5)


def test_plain_surroundings(process, tmp_path):
    """No colour, an ASCII terminal, a cache folder that cannot be written, one thread."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    surroundings = {**os.environ, "NO_COLOR": "1", "PYTHONIOENCODING": "ascii", "XDG_CACHE_HOME": str(blocked)}
    done = process("logz", "square:3x3", "--threads", "1", "--memory", "1", env=surroundings)
    assert done.code == 0, done.err
    assert "exact" in done.out


def test_a_reader_who_leaves():
    line = f"{sys.executable} -m calipers compare square:3x3 | head -n 1"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize("plain", [False, True])
def test_a_terminal_gets_the_live_display(plain):
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    surroundings = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    surroundings |= {"TERM": "xterm", "COLUMNS": "120", **({"NO_COLOR": "1"} if plain else {})}
    line = [sys.executable, "-m", "calipers", "logz", WIDE, "--json", "--gap", "1000"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=theirs, env=surroundings) as running:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # how a closed pseudo-terminal ends
            while piece := os.read(ours, 65536):
                shown += piece
        out, _ = running.communicate(timeout=30)
    os.close(ours)
    assert json.loads(out)["stopped"] == "gap"
    assert b"Ctrl-C keeps the bracket" in shown
    assert (b"\x1b[36m" in shown) is not plain
    assert shown.rfind(b"\x1b[?25h") > shown.rfind(b"\x1b[?25l")  # the cursor is back


def test_a_swallowed_interrupt_comes_again(capsys):
    """A callback of the garbage collector swallows what is raised in it; the signal must get through all the same."""

    class Deaf:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    with interruptible() as interrupts:
        Deaf()  # raises in there, and is swallowed
        assert interrupts.asked
        with pytest.raises(KeyboardInterrupt):
            time.sleep(10.0)
    assert capsys.readouterr().err == ""


def test_a_swallowed_error_is_still_reported(capsys, monkeypatch):
    class Broken:
        def __del__(self):
            raise ZeroDivisionError

    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)
    with interruptible():
        Broken()
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_held_signal_is_raised_at_the_end():
    steps = []

    def work(interrupts):
        with interrupts.held():
            signal.raise_signal(signal.SIGINT)
            steps.append("inside")
        steps.append("after")

    with interruptible() as interrupts, pytest.raises(KeyboardInterrupt):
        work(interrupts)
    assert steps == ["inside"]


def test_what_a_library_makes_of_a_signal_is_the_stop():
    with interruptible() as interrupts:
        with interrupts.stops():
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                raise ImportError("an extension could not be initialized") from None
        assert interrupts.asked
    with interruptible() as interrupts, pytest.raises(ImportError), interrupts.stops():
        raise ImportError("an honest one")
