"""What a route knows of the Model Context Protocol over HTTP: which operations it takes, and what each one asks for.

``snapshot`` makes these from the configuration; nobody changes them afterwards. How a request's body becomes an
operation, and which rule is its, is decided in ``caller.mcp``.
"""

from dataclasses import dataclass

from sidecar.model.approval import ApprovalPolicy


@dataclass(frozen=True, slots=True)
class Rule:
    """What a route does differently for one tool, some tools or one method.

    key: where its route says so, as ``("mcp", "tools", "delete_*")``. scope: asked for besides the route's own.
    acr_values, max_age: of the login, as in ``SubjectPolicy``; nothing given: as the route says.
    approval: whose yes is needed instead of whom the route names. arguments: those that an approver is told, by name.
    """

    key: tuple[str, ...]
    scope: tuple[str, ...] = ()
    acr_values: tuple[str, ...] = ()
    max_age: int | None = None
    approval: ApprovalPolicy | None = None
    arguments: tuple[str, ...] = ()

    @property
    def pattern(self) -> str:
        """The tool, tools or method that it is about: exact, or the beginning of a name and ``*``."""
        return self.key[-1]


@dataclass(frozen=True, slots=True)
class MCP:
    """Which messages a route takes, and by which rules.

    default: whether requests whose method no rule names go on; tools are taken by rules alone.
    get, delete: whether a stream may be opened, and a session ended. responses, notifications: whether these messages
    of the caller go on. allowed_origins: as browsers write them.
    tools: the rules in the order in which they are looked through: exact ones, then longer beginnings before shorter.
    """

    default: bool = False
    get: bool = True
    delete: bool = True
    responses: bool = True
    notifications: bool = True
    allowed_origins: frozenset[bytes] = frozenset()
    tools: tuple[Rule, ...] = ()
    methods: tuple[Rule, ...] = ()

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules."""
        return (*self.tools, *self.methods)
