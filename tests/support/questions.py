"""What proxies send when they ask the decision listener about a request, each in its form."""

FORWARDED = "forwarded"
ENVOY = "envoy"


def question(
    form: str,
    target: str = "/orders/1",
    *fields: bytes,
    token: str | None = None,
    method: str = "GET",
    host: bytes = b"api.example.com",
) -> bytes:
    """Return a question about a request, on a connection of its own."""
    if form == FORWARDED:
        lines = [
            b"GET / HTTP/1.1",
            b"Host: sidecar",
            b"X-Forwarded-Method: " + method.encode(),
            b"X-Forwarded-Proto: https",
            b"X-Forwarded-Host: " + host,
            b"X-Forwarded-Uri: " + target.encode("latin-1"),
        ]
    else:
        lines = [
            f"{method} {target} HTTP/1.1".encode("latin-1"),
            b"Host: " + host,
            b"X-Forwarded-Proto: https",
            b"Content-Length: 0",
        ]
    lines += [b"Connection: close", *fields]
    if token is not None:
        lines.append(b"Authorization: Bearer " + token.encode())
    return b"\r\n".join(lines) + b"\r\n\r\n"
