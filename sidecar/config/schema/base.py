"""What every section of the schema stands on.

A section refuses keys that it does not know and converts nothing: text is text, a number a number.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A mapping of the file: no unknown keys, no conversions, frozen; built once, with the whole schema."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, validate_default=True, defer_build=True, hide_input_in_errors=True
    )


def key(default: Any, description: str) -> Any:
    """A key that may be left out; the default as it would be written in the file."""
    return Field(default=default, description=description)
