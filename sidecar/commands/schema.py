"""``sidecar schema``: the configuration file's form as JSON Schema (2020-12), for editors.

Made from the classes that read the file, so that it has their keys, descriptions and defaults. What takes two keys to
tell is beyond it; ``sidecar check`` tells that.
"""

import argparse
import json
from typing import Any, Final

ID: Final = "urn:token-exchange-sidecar:config:1"
#: A value may come from the environment, whatever its form.
_FROM_ENVIRONMENT: Final = r"\$\{[A-Za-z_][A-Za-z0-9_]*\}"


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments: there are none."""


def run(_: argparse.Namespace) -> int:
    """Print the schema."""
    print(json.dumps(document(), indent=2, ensure_ascii=False))
    return 0


def document() -> dict[str, Any]:
    """Return the schema, as JSON has it."""
    from pydantic import TypeAdapter
    from pydantic.json_schema import GenerateJsonSchema

    from sidecar.config.schema import Config

    class Generator(GenerateJsonSchema):
        def field_title_should_be_set(self, _: Any) -> bool:
            return False  # it would be the key again

    made = TypeAdapter(Config).json_schema(schema_generator=Generator)
    head = {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$id": ID,
        "title": "Configuration of the token-exchange sidecar, version 1",
    }
    return {**head, **{name: _adapted(part) for name, part in made.items() if name != "title"}}


def _adapted(part: Any) -> Any:
    """A part of what pydantic makes, without what is no JSON Schema, and open to ``${NAME}`` where text has a form."""
    match part:
        case list():
            return [_adapted(each) for each in part]
        case {"pattern": str(pattern), **others}:
            return {**others, "pattern": f"{pattern}|{_FROM_ENVIRONMENT}"}
        case {"discriminator": {"propertyName": _}, **others}:
            return _adapted(others)
        case {"type": "string", "enum": list(words), **others}:
            named = {"type": "string", "pattern": _FROM_ENVIRONMENT}
            return {**others, "anyOf": [{"type": "string", "enum": words}, named]}
        case dict():
            return {name: _adapted(each) for name, each in part.items()}
        case _:
            return part
