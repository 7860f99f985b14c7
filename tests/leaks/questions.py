"""What a proxy may ask in the form that names a request by fields, with a token wherever one can stand."""

from collections.abc import Awaitable, Callable, Mapping

from tests.leaks.stage import Stage
from tests.support.questions import FORWARDED, question

Scenario = Callable[[Stage], Awaitable[None]]


def asking(
    target: str, *fields: str, method: str = "GET", host: str = "api.example.com", good: bool = False
) -> Scenario:
    """One question; TOKEN and SIGNATURE stand for the subject token. good: it is answered with another."""

    async def scenario(stage: Stage) -> None:
        token = stage.mint()

        def filled(text: str) -> str:
            return text.replace("TOKEN", token).replace("SIGNATURE", token.rsplit(".", 1)[1])

        more = [filled(field).encode() for field in fields]
        named, at = filled(method), filled(host).encode()
        answer = await stage.send(question(FORWARDED, filled(target), *more, token=token, method=named, host=at))
        assert answer.startswith(b"HTTP/1.1 200 " if good else b"HTTP/1.1 4")

    return scenario


async def a_bug(stage: Stage) -> None:
    token = stage.mint()

    async def broken(*_: object) -> None:
        raise RuntimeError(token)

    exchanger = stage.gateway.app.exchanger
    exchanger.obtain = broken  # type: ignore[method-assign, assignment]
    await stage.send(question(FORWARDED, "/orders/1", token=token))
    del exchanger.obtain


QUESTIONS: Mapping[str, Scenario] = {
    "a good one": asking("/orders/1?q=1", good=True),
    "nothing to exchange": asking("/public", good=True),
    "another login": asking("/scoped"),
    "no route": asking("/nothing/TOKEN"),
    "a bug": a_bug,
    **{
        f"target: {target}": asking(target)
        for target in ("TOKEN", "/orders/TOKEN", "/public?SIGNATURE", "//TOKEN", "/#TOKEN")
    },
    **{f"method: {method}": asking("/orders", method=method) for method in ("TOKEN", "GET TOKEN", "")},
    **{f"host: {host}": asking("/orders", host=host) for host in ("TOKEN", "a@TOKEN", "", "SIGNATURE")},
    **{
        f"field: {field}": asking("/orders", field)
        for field in (
            "X-Forwarded-Uri: TOKEN",
            "X-Forwarded-Proto: TOKEN",
            "X-Forwarded-Host: TOKEN",
            "X-Original-URI: /TOKEN",
            "X_Forwarded_Uri: TOKEN",
            "Upgrade: TOKEN",
            "Content-Length: 9",
            "Host: TOKEN",
            "TOKEN: x",
        )
    },
}
