"""What a configuration takes from around its file: environment variables, and the files that it names.

``${NAME}`` in a text is replaced once, never again in what it brought, and has no defaults. Files are looked at when
the configuration is loaded, so that a missing secret stops the start and not the first request; nothing of what they
hold is kept.
"""

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Final

from sidecar.config.problems import Finding, Path

_REFERENCE: Final = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}|\$\{")
_MAX_PEEK: Final = 64 * 1024  # bytes of a file that are looked at


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The directory that relative paths start from, and the environment."""

    directory: FilePath
    environ: Mapping[str, str] = field(repr=False)

    def locate(self, path: str) -> str:
        """Return a path as an absolute one; relative ones start at the configuration file's directory."""
        return str(self.directory / path)

    def readable(self, path: str) -> str:
        """Return the absolute path of a file that can be read and says something. ValueError: why it can't serve."""
        location = self.locate(path)
        try:
            if not stat.S_ISREG(FilePath(location).stat().st_mode):
                raise ValueError("is not a file")
            with open(location, "rb") as file:
                content = file.read(_MAX_PEEK)
        except OSError as error:
            raise ValueError(unreadable(error)) from None
        if not content.strip():
            raise ValueError("the file is empty")
        return location

    def writable(self, path: str) -> str:
        """Return the absolute path of a file that may be made. ValueError: its directory does not exist."""
        location = self.locate(path)
        if not FilePath(location).parent.is_dir():
            raise ValueError("the file's directory does not exist")
        return location

    def variable(self, name: str) -> str:
        """Return the name of a variable that holds a secret. ValueError: it is not set, or empty."""
        if not self.environ.get(name, "").strip():
            raise ValueError("the environment has no such variable, or it is empty")
        return name


def unreadable(error: OSError) -> str:
    """Say why a file can't be read."""
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return "there is no such file"
        case PermissionError():
            return "the file may not be read"
        case IsADirectoryError():
            return "is a directory, not a file"
        case _:
            return "the file can't be read"


def substitute(content: object, environ: Mapping[str, str], found: list[Finding], path: Path = ()) -> object:
    """Return the content with every ``${NAME}`` in a value replaced; what can't be is left and added to ``found``."""
    match content:
        case str():
            return _substitute(content, environ, found, path)
        case list():
            return [substitute(item, environ, found, (*path, index)) for index, item in enumerate(content)]
        case dict():
            return {key: substitute(value, environ, found, (*path, key)) for key, value in content.items()}
        case _:
            return content


def _substitute(text: str, environ: Mapping[str, str], found: list[Finding], path: Path) -> str:
    wrong: list[str] = []

    def replacement(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            if match[0] == "${":
                wrong.append("should be ${NAME} for the environment's value, or $${ for a literal ${")
            return "${"
        value = environ.get(name)
        if value is None:
            wrong.append(f"the environment has no variable {name}")
            return match[0]
        if not value.isascii() and any(0xD800 <= ord(character) <= 0xDFFF for character in value):
            wrong.append(f"the environment's {name} is not UTF-8")
            return match[0]
        return value

    replaced = _REFERENCE.sub(replacement, text)
    if wrong:
        found.append(Finding(path, "; ".join(dict.fromkeys(wrong))))
        return text
    return replaced
