"""Writes the documents that are made from the code: ``python -m tests.docs.generate``."""

import json
from pathlib import Path
from typing import get_args

from sidecar.commands.lint.rules import RULES, UNUSED_ACCEPT
from sidecar.commands.schema import document
from sidecar.config.schema.accept import FileRule, RouteRule
from tests.docs import errors, metrics, performance, receipts, reference, reliability, servers, threats

FOLDER = Path(__file__).parents[2] / "docs"

HEAD = f"""# Lints

`sidecar check -c FILE` first reports everything that `sidecar run` would refuse, and exits with 2. In a file without
such errors it looks for what can be served but may not be meant, tells each with file, line, column and the name of the
rule, and exits with 1; with 0 where there is nothing. Some rules are for those who want them: `--also RULE` looks for
these too. `--format json` is for programs, `--format github` for workflows
on GitHub, where findings then show in the review.

What is meant is accepted where it stands, with the reason why: in the route it is about, or at the top of the file.

<!-- fragment -->
```yaml
accept:
  plain-http: the mesh encrypts between pods
routes:
  - name: catalogue
    …
    exchange: none
    accept:
      exchange-none: public, and read only
```

Such an accept covers every finding of its rule in that place. One that covers none is a finding itself,
`{UNUSED_ACCEPT}`, which can't be accepted.
"""


def lints() -> str:
    """Return the page about the rules."""
    parts = [HEAD]
    for name, rule in RULES.items():
        places = [
            place
            for place, names in (("in its route", get_args(RouteRule)), ("at the top of the file", get_args(FileRule)))
            if name in names
        ]
        asked_for = f" **Only** with `--also {name}`." if rule.opt_in else ""
        parts.append(
            f"## {name}\n\n{rule.finds}\n\n{rule.why}\n\n**Instead:** {rule.instead} "
            f"**Accepted** {' or '.join(places)}.{asked_for}\n"
        )
    return "\n".join(parts)


def schema() -> str:
    """Return what ``sidecar schema`` prints."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


MADE = {
    "lints.md": lints,
    "config.schema.json": schema,
    "configuration.md": reference.configuration,
    "commands.md": reference.commands,
    "authorization-servers.md": servers.page,
    "errors.md": errors.page,
    "metrics.md": metrics.page,
    "receipts.md": receipts.page,
    "performance.md": performance.page,
    "reliability.md": reliability.page,
    "threat-model.md": threats.page,
}


def main() -> None:
    for name, make in MADE.items():
        (FOLDER / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
