import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.demo.caller import Answer
from sidecar.demo.show import WIDTH, Show, folded
from tests.demo.conftest import Heard


def test_a_met_expectation_is_marked(heard: Heard) -> None:
    heard.show.expect("It is so.", [1], [1])
    assert heard.text == "   ok  It is so.\n"
    assert heard.show.as_told


def test_an_unmet_one_shows_both_sides_and_is_remembered(heard: Heard) -> None:
    heard.show.expect("It is so.", 1, 2)
    heard.show.expect("This is.", 3, 3)
    assert heard.text.splitlines() == [
        "   NO  It is so.",
        "       expected: 1",
        "       found:    2",
        "   ok  This is.",
    ]
    assert not heard.show.as_told


def test_a_story_that_breaks_off(heard: Heard) -> None:
    heard.show.broken("nobody answers")
    assert heard.text == "   NO  the story ends here: nobody answers\n"
    assert not heard.show.as_told


def test_paragraphs_are_apart_from_marks(heard: Heard) -> None:
    heard.show.text("One.")
    heard.show.expect("It is so.", 1, 1)
    heard.show.expect("And so.", 1, 1)
    heard.show.text("Two.")
    assert heard.text == "   One.\n\n   ok  It is so.\n   ok  And so.\n\n   Two.\n\n"


@given(st.lists(st.text("abc-", min_size=1, max_size=40), min_size=1, max_size=60).map(" ".join))
def test_text_is_wrapped_and_nothing_is_lost(text: str) -> None:
    heard = Heard()
    heard.show.text(text)
    heard.show.expect(text, 1, 1)
    assert heard.text.split() == [*text.split(), "ok", *text.split()]
    assert max(len(line) for line in heard.text.splitlines()) <= WIDTH


def test_what_is_to_be_copied_is_never_broken(heard: Heard) -> None:
    path = "/" + "a-folder/" * 20
    heard.show.text(f"It is in {path}")
    heard.show.lines(f"cat {path}", "", "true")
    assert heard.text.splitlines() == ["   It is in", f"   {path}", "", f"   cat {path}", "", "   true", ""]


def test_claims_side_by_side(heard: Heard) -> None:
    sent = {"sub": "alice", "aud": ["a", "b"], "scope": "x y", "iat": 10, "exp": 70, "jti": "one", "email": "e@x"}
    got = {"sub": "alice", "aud": "c", "act": {"iss": "i", "sub": "agent-7", "act": {"sub": "gateway"}}}
    heard.show.claims({"sent": sent, "got": got})
    assert heard.text.splitlines() == [
        "             sent   got",
        "   sub       alice  alice",
        "   act       -      agent-7 < gateway",
        "   aud       a, b   c",
        "   scope     x y    -",
        "   lifetime  60 s   -",
        "   jti       one    -",
        "",
    ]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(200, {}, ""), "200 OK"),
        (Answer(200, {"title": 1}, ""), "200 OK"),
        (Answer(404, {"title": "No such route"}, ""), "404 Not Found: No such route"),
    ],
)
def test_a_request_and_its_answer(heard: Heard, answer: Answer, said: str) -> None:
    heard.show.asked("GET /", answer)
    assert heard.text == f"   alice asks       GET /\n   gateway answers  {said}\n\n"


def test_colours_only_where_they_are_wanted() -> None:
    texts = []
    for colour in (True, False):
        out = io.StringIO()
        show = Show(out, colour=colour)
        show.title("A title")
        show.step(1, "A step")
        show.table(["head"], [["cell"]])
        show.expect("So.", 1, 1)
        show.expect("Not so.", 1, 2)
        texts.append(out.getvalue())
    coloured, plain = texts
    assert "\x1b[1mA title\x1b[0m" in coloured
    assert "\x1b[1;36m1. A step\x1b[0m" in coloured
    assert "\x1b[32mok\x1b[0m" in coloured
    assert "\x1b[31mNO\x1b[0m" in coloured
    assert "\x1b" not in plain


def test_the_level_of_a_login_is_shown_where_one_is_known(heard: Heard) -> None:
    heard.show.claims({"sent": {"sub": "alice", "acr": "mfa"}, "got": {"sub": "alice"}})
    assert "   acr       mfa    -" in heard.text.splitlines()


def test_a_long_line_is_folded_and_keeps_its_indentation() -> None:
    assert folded(f"1. short\n   {'word ' * 30}\n\nend") == [
        "1. short",
        "   " + " ".join(["word"] * 19),
        "     " + " ".join(["word"] * 11),
        "",
        "end",
    ]


def test_ids_are_cut_where_many_tokens_stand_side_by_side(heard: Heard) -> None:
    heard.show.claims({name: {"jti": f"{name}-0123456789abcdef"} for name in ("a", "b", "c")})
    assert heard.text.splitlines()[-2].split() == ["jti", "a-0123456...", "b-0123456...", "c-0123456..."]
