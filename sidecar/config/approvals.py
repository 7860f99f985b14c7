"""What is wrong with approvals: a route names an approver that is there, has a subject to ask about, and asks in a
field that carries nothing else.

Works on the file's content, as ``rules`` does, which looks at the approvers themselves.
"""

from collections.abc import Iterator
from typing import Final

from sidecar.config.mcp import operations
from sidecar.config.problems import Finding
from sidecar.config.tree import Part
from sidecar.config.wording import nearest
from sidecar.config.workload import is_ours

#: What carries credentials on every route, beside the fields that this one names.
_CREDENTIALS: Final = frozenset({"authorization", "proxy-authorization", "cookie"})


def findings(root: Part) -> Iterator[Finding]:
    """Return what is wrong with the approvals of a file's routes."""
    for route in root["routes"].items():
        for asking in (route, *operations(route["mcp"])):
            if isinstance(asking["approval"].value, dict):
                yield from _approval(root["approvers"], route, asking["approval"])


def _approval(approvers: Part, route: Part, approval: Part) -> Iterator[Finding]:
    by = approval["by"]
    if by.text is not None and by.text not in approvers:
        near = nearest(by.text, [name for name, _ in approvers.members()])
        yield by.finding(f"no approver of this name is defined{near}")
    if route["exchange"].value == "none":
        yield approval.finding("has no effect with exchange: none, where nobody is known to ask about")
    elif is_ours(route["exchange"]["subject_token"]) and not list(route["subject"]["issuers"].items()):
        yield approval.finding("needs subject.issuers: without a caller's token nobody is known to ask about")
    asked, header = approval["reason_header"], (approval["reason_header"].text or "").lower()
    tokens = {(route["subject"]["header"].text or "").lower(), (route["upstream"]["token_header"].text or "").lower()}
    if header and header in _CREDENTIALS | tokens:
        yield asked.finding("should be another field: this one carries a credential")
