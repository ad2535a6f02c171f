"""Runs the documentation: every `python` and `console` block of README.md and docs/*.md, page by page, in order.

The Python blocks of a page share one namespace, and everything on a page shares one empty working folder. A `text`
block right after a `python` block is what that block prints; the lines under a `$ command` are what the command prints.
`…` stands for anything, also for many lines. A command ends with 0 or 3, unless `$ echo $?` follows and says otherwise.
"""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(
    r"^(?P<indent>[ ]*)```(?P<language>\w+)[^\n]*\n(?P<body>.*?)^(?P=indent)```[ ]*$", re.MULTILINE | re.DOTALL
)
COMMAND_LIMIT = 120.0  # seconds; no sample should come near it


class Block(NamedTuple):
    """One fenced block: where its body starts, its language and text."""

    line: int
    language: str
    body: str


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [
        Block(text.count("\n", 0, m.start("body")) + 1, m["language"], textwrap.dedent(m["body"]))
        for m in FENCE.finditer(text)
    ]


def follows(text: str, block: Block) -> str | None:
    """The body of the `text` block that stands right under `block`, with nothing but white space between."""
    lines = text.splitlines()
    end = block.line - 1 + block.body.count("\n") + 1
    rest = "\n".join(lines[end:]).lstrip()
    if not rest.startswith("```text"):
        return None
    return blocks(rest)[0].body


def agrees(expected: str, got: str) -> bool:
    """Whether `got` is what was expected, `…` standing for anything and white space at line ends for nothing."""

    def tidy(text: str) -> str:
        return "\n".join(line.rstrip() for line in text.strip().splitlines())

    pattern = ".*?".join(re.escape(part) for part in tidy(expected).split("…"))
    return re.fullmatch(pattern, tidy(got), re.DOTALL) is not None


def commands(body: str) -> list[tuple[str, str]]:
    """Pairs (command, expected output) of a console block; a command goes on after a backslash."""
    found: list[tuple[str, str]] = []
    for line in body.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif found:
            found[-1] = (found[-1][0], found[-1][1] + line + "\n")
    return found


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs one shell command with this interpreter's scripts in front of the path."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": path, "NO_COLOR": "1", "COLUMNS": "120"}
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=COMMAND_LIMIT,
        check=False,
    )


def run_console(body: str, folder: Path) -> None:
    """Runs the commands of one block and compares what they print and how they end."""
    script = commands(body)
    code = 0
    for i, (command, expected) in enumerate(script):
        if command == "echo $?":
            assert expected.strip() == str(code), f"exit {code} from: {script[i - 1][0]}"
            continue
        done = run(command, folder)
        code = done.returncode
        told = i + 1 < len(script) and script[i + 1][0] == "echo $?"
        assert told or code in (0, 3), f"exit {code} from: {command}\n{done.stdout}"
        if expected.strip():
            assert agrees(expected, done.stdout), f"{command}\nprinted:\n{done.stdout}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_samples_of_page(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    text = page.read_text()
    namespace = {"__name__": f"docs_{page.stem}"}
    for block in blocks(text):
        if block.language == "python":
            padded = "\n" * (block.line - 1) + block.body  # so that a traceback names the line of the page
            exec(compile(padded, str(page), "exec"), namespace)
            printed, expected = capsys.readouterr().out, follows(text, block)
            if expected is not None:
                assert agrees(expected, printed), f"{page.name}:{block.line} printed:\n{printed}"
        elif block.language == "console":
            run_console(block.body, tmp_path)


def test_links_between_pages_exist():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", FENCE.sub("", page.read_text())):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_runner_can_fail(tmp_path):
    assert agrees("a … z", "a b\nc z")
    assert not agrees("a … z", "a b")
    with pytest.raises(AssertionError, match="exit 7"):
        run_console("$ exit 7\n", tmp_path)
    with pytest.raises(AssertionError, match="printed"):
        run_console("$ echo one\ntwo\n", tmp_path)
    run_console("$ exit 7\n$ echo $?\n7\n$ echo \\\n  one\none\n", tmp_path)
