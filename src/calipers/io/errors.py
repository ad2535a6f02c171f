"""What is wrong with what was read: one line that names the file, the line, what came and what was expected."""


class InputError(ValueError):
    """A file cannot be read as what it should be.

    **Arguments:** `path`, the file as the user named it; `line`, counted from 1, or None when no line is to blame;
    `message`, what came and what was expected.
    """

    def __init__(self, path: object, line: int | None, message: str) -> None:
        super().__init__(path, line, message)
        self.path, self.line, self.message = str(path), line, message

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.line is None else f"{self.path}:{self.line}: {self.message}"


class SpecError(ValueError):
    """A specification string, or an option, is malformed; the message says what came and what was expected."""


class InputWarning(UserWarning):
    """A file was read, but part of it was ignored."""
