"""Runs command lines in this process, and a few whose manners only a process of its own can show."""

import json
import subprocess
import sys
from typing import Any, NamedTuple

import pytest

from calipers.cli import main


class Done(NamedTuple):
    """What a command line came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run(capsys):
    """`run("logz", "square:3x3")` → exit code, stdout, stderr."""

    def call(*words: str) -> Done:
        code = main([str(w) for w in words])
        return Done(code, *capsys.readouterr())

    return call


@pytest.fixture
def process():
    """The same in a new process; `environment` adds to its variables."""

    def call(*words: str, **options: Any) -> Done:
        line = [sys.executable, "-m", "calipers", *map(str, words)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False, **options)
        return Done(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def uai(tmp_path):
    """Writes a UAI file."""

    def write(text: str, name: str = "model.uai") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write
