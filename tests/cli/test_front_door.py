"""`import calipers` and `--help`: every name is there, and nothing heavy is imported for it."""

import subprocess
import sys
from importlib.metadata import version

import pytest

import calipers as cal
from calipers.cli.method_text import METHODS

HEAVY = "{'jax', 'numba', 'scipy', 'numpy', 'equinox', 'matplotlib', 'rich'}"
COMMANDS = ("logz", "verify", "compare", "sweep", "make")


@pytest.mark.parametrize("name", cal.__all__)
def test_every_public_name_is_there(name):
    assert getattr(cal, name) is not None
    assert name in dir(cal)


def test_methods_of_the_command_line_are_public():
    assert set(METHODS) <= set(cal.__all__)


def test_an_unknown_name():
    with pytest.raises(AttributeError, match="nonsense"):
        cal.nonsense  # noqa: B018


def test_the_version_is_the_distributions():
    assert cal.__version__ == version("calipers")


def test_log_z_takes_a_method_and_limits():
    model = cal.from_spec("square:3x3")
    assert cal.log_z(model).exact
    assert cal.log_z(model, cal.MeanField(), time_limit=5.0).upper.grounds == cal.Grounds.NONE


@pytest.mark.parametrize("words", [["--help"], *([c, "--help"] for c in COMMANDS), ["--version"], []])
def test_help_is_light(words):
    code = (
        f"import sys\nfrom calipers.cli import main\ncode = main({words!r})\nprint(code, *({HEAVY} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.splitlines()[-1], done.stderr) == ("0", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(run, command):
    text = run(command, "--help").out
    assert 2 <= text.count(f"\n    calipers {command} ") <= 4
    assert "[bold" not in text


def test_verify_imports_no_jax(tmp_path):
    file = tmp_path / "no.cert"
    file.write_text("no")
    call = f"import sys\nfrom calipers.cli import main\nmain(['verify', {str(file)!r}])\n"
    code = call + "print(*({'jax', 'numba'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == ""
