from itertools import combinations, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.exchange.ask import REMEMBERED, RESERVED, SHOWN, Asker
from sidecar.exchange.grants import GRANTS
from sidecar.model.flush import About
from sidecar.model.tokens import ACCESS_TOKEN, JWT, WorkloadToken
from tests.support.values import exchange, subject

SERVER = {"server": "corp", "endpoint": "https://as.example/token", "client_id": "gateway", "extra_params": {}}


def actor(token: str = "actor-token", identity: bytes = b"jwt:agent", token_type: str = JWT) -> WorkloadToken:
    return WorkloadToken("self", token_type, "jti:a", identity, token)


def asker(server: dict[str, Any] = SERVER, grant: str = "token-exchange", **changes: Any) -> Asker:
    return Asker(exchange(**changes), GRANTS[grant], **server)


def test_the_form_is_what_rfc_8693_says() -> None:
    ask = asker(
        {**SERVER, "extra_params": {"tenant": "a"}},
        audience=("a", "b"),
        resource=("https://r.example/",),
        scope=("x", "y"),
        requested_token_type=ACCESS_TOKEN,
    ).ask(subject(), actor())
    assert ask.form == [
        ("grant_type", GRANTS["token-exchange"].grant_type),
        ("audience", "a"),
        ("audience", "b"),
        ("resource", "https://r.example/"),
        ("tenant", "a"),
        ("scope", "x y"),
        ("requested_token_type", ACCESS_TOKEN),
        ("subject_token", "subject-token"),
        ("subject_token_type", ACCESS_TOKEN),
        ("actor_token", "actor-token"),
        ("actor_token_type", JWT),
    ]


@pytest.mark.parametrize("grant", GRANTS)
def test_every_grant_sends_the_token_once_and_hides_it(grant: str) -> None:
    form = asker(grant=grant).ask(subject(), None).form
    [(name, _)] = [pair for pair in form if pair[1] == "subject-token"]
    assert name in SHOWN
    assert {name for name, _ in form} <= RESERVED


def test_the_jwt_bearer_form_is_what_rfc_7523_says() -> None:
    assert asker(grant="jwt-bearer", audience=(), scope=("x", "y")).ask(subject(), None).form == [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("scope", "x y"),
        ("assertion", "subject-token"),
    ]


def test_entras_form_says_what_the_assertion_is_for() -> None:
    assert asker(grant="entra-obo", audience=(), scope=("api://orders/.default",)).ask(subject(), None).form == [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("requested_token_use", "on_behalf_of"),
        ("scope", "api://orders/.default"),
        ("assertion", "subject-token"),
    ]


def test_authorization_details_are_one_json_array() -> None:
    form = asker(authorization_details=('{"type":"a"}', '{"type":"b"}')).ask(subject(), None).form
    assert ("authorization_details", '[{"type":"a"},{"type":"b"}]') in form


def test_what_is_not_configured_is_not_sent() -> None:
    names = [name for name, _ in asker(audience=(), scope=()).ask(subject(), None).form]
    assert names == ["grant_type", "subject_token", "subject_token_type"]


def test_reserved_names_are_all_that_the_form_can_hold() -> None:
    asks: dict[str, Any] = {"resource": ("https://r.example/",), "authorization_details": ('{"type":"a"}',)}
    form = asker(**asks, requested_token_type=JWT).ask(subject(), actor()).form
    assert {name for name, _ in form} <= RESERVED


@pytest.mark.threat("S12")
def test_every_field_alone_makes_another_key() -> None:
    base = asker().ask(subject(), None).key
    keys = [
        base,
        *(
            asker({**SERVER, name: value}).ask(subject(), None).key
            for name, value in (
                ("server", "other"),
                ("endpoint", "https://as.example/token2"),
                ("client_id", "gateway2"),
                ("extra_params", {"tenant": "a"}),
            )
        ),
        asker(audience=("orders-api", "x")).ask(subject(), None).key,
        asker(audience=()).ask(subject(), None).key,
        asker(resource=("https://r.example/",)).ask(subject(), None).key,
        asker(scope=("orders.write",)).ask(subject(), None).key,
        asker(requested_token_type=JWT).ask(subject(), None).key,
        asker(authorization_details=('{"type":"a"}',)).ask(subject(), None).key,
        asker(authorization_details=('{"type":"b"}',)).ask(subject(), None).key,
        asker(grant="jwt-bearer").ask(subject(), None).key,
        asker(grant="entra-obo").ask(subject(), None).key,
        asker().ask(subject("other-token"), None).key,
        asker().ask(subject(), actor()).key,
        asker().ask(subject(), actor(identity=b"jwt:other")).key,
        asker().ask(subject(), actor(token_type=ACCESS_TOKEN)).key,
    ]
    assert len(set(keys)) == len(keys)


def test_a_rotated_actor_token_keeps_its_key_and_is_sent_fresh() -> None:
    old, new = (asker().ask(subject(), actor(token)) for token in ("old-token", "new-token"))
    assert old.key == new.key
    assert ("actor_token", "new-token") in new.form


def test_a_remembered_ask_is_that_of_the_very_same_tokens() -> None:
    """Tokens that look alike have other objects, and what is remembered of one is never another's."""
    one = asker()
    people = [subject(token=f"token-{number}") for number in range(3)]
    actors = [None, actor("first"), actor("second"), actor("first", b"jwt:other")]
    questions = [(person, acting) for person in people for acting in actors]
    for person, acting in questions * 2:
        asked = one.ask(person, acting)
        fresh = asker().ask(person, acting)
        assert (asked.key, asked.form) == (fresh.key, fresh.form)
    assert one.ask(people[0], None) is one.ask(people[0], None)


def test_what_is_remembered_of_subjects_is_bounded_and_survives_their_end() -> None:
    """An id is given to another object as soon as one is gone: while an ask is remembered, its subject is not."""
    one = asker()
    for number in range(REMEMBERED + 50):
        token = f"token-{number}"
        assert ("subject_token", token) in one.ask(subject(token=token), None).form
    assert len(one._remembered) == REMEMBERED


@given(st.lists(st.text("ab", min_size=1, max_size=3), min_size=2, max_size=4, unique=True))
@pytest.mark.threat("S13")
@pytest.mark.fuzz
def test_no_splitting_of_the_same_text_shares_a_key(parts: list[str]) -> None:
    text = "".join(parts)
    keys: dict[bytes, tuple[str, ...]] = {}
    for count in range(len(text)):
        for cuts in combinations(range(1, len(text)), count):
            bounds = [0, *cuts, len(text)]
            audience = tuple(text[start:end] for start, end in pairwise(bounds))
            key = asker(audience=audience, scope=()).ask(subject(), None).key
            assert keys.setdefault(key, audience) == audience


@given(
    first=st.tuples(st.text("a=&,\0 ", max_size=4), st.text("a=&,\0 ", max_size=4)),
    second=st.tuples(st.text("a=&,\0 ", max_size=4), st.text("a=&,\0 ", max_size=4)),
)
@pytest.mark.threat("S13")
@pytest.mark.fuzz
def test_delimiters_in_any_field_share_no_key(first: tuple[str, str], second: tuple[str, str]) -> None:
    def key(pair: tuple[str, str]) -> bytes:
        return asker({**SERVER, "server": pair[0], "endpoint": pair[1]}).ask(subject(), None).key

    assert (key(first) == key(second)) is (first == second)


def test_tokens_are_in_no_repr() -> None:
    ask = asker().ask(subject(), actor())
    assert "subject-token" not in repr(ask)
    assert "actor-token" not in repr(ask)


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_order_is_kept(order: tuple[str, str]) -> None:
    form = asker(audience=order).ask(subject(), None).form
    assert [value for name, value in form if name == "audience"] == list(order)


def test_what_an_ask_is_about() -> None:
    """Routes that ask for the same are about the same; who asks, and with which tokens, is said apart."""
    orders, again, billing = asker(), asker(), asker(audience=("billing-api",))
    abroad = asker({**SERVER, "server": "partner"})
    about = orders.ask(subject(iss="https://i", sub="alice"), None).about
    assert about == About("https://i", "alice", "corp", orders.asked)
    assert orders.asked == again.asked
    assert len({orders.asked, billing.asked, abroad.asked}) == 3
    assert orders.ask(subject("other", iss="https://i", sub="alice"), actor()).about == about
    assert abroad.ask(subject(), None).about.server == "partner"
