"""How the token endpoint says no: one exception, with the codes of RFC 6749 §5.2 and RFC 8693 §2.2.2.

A reason is constant text in the characters that ``error_description`` allows: it is sent to the client and written to
the audit line, so nothing from a token, a parameter or a header is ever put into it.
"""

from enum import StrEnum


class Code(StrEnum):
    """The ``error`` codes this server answers with."""

    INVALID_REQUEST = "invalid_request"
    INVALID_CLIENT = "invalid_client"
    UNAUTHORIZED_CLIENT = "unauthorized_client"
    UNSUPPORTED_GRANT_TYPE = "unsupported_grant_type"
    INVALID_SCOPE = "invalid_scope"
    INVALID_TARGET = "invalid_target"
    ACCESS_DENIED = "access_denied"
    TEMPORARILY_UNAVAILABLE = "temporarily_unavailable"


STATUS = {Code.INVALID_CLIENT: 401, Code.TEMPORARILY_UNAVAILABLE: 503}


class TokenError(Exception):
    """A refused token request. ``status`` is the HTTP status to answer with: 400 unless the code has its own."""

    def __init__(self, code: Code, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.status = status or STATUS.get(code, 400)
