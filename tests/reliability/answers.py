"""What an answer of the upstream looks like, for the upstream that makes it and the caller that judges it."""


def answer_body(sub: str, name: str, size: int) -> bytes:
    """Return the body of the answer to a subject's request of this name, of so many bytes or as short as can be.

    Every byte depends on whose answer it is and on its place, so that a piece of another one, or one that is missing,
    shows.
    """
    text = f"{sub} {name}\n".encode()
    return text if size <= len(text) else (text * (size // len(text) + 1))[:size]
