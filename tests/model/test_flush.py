from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sidecar.model.flush import About, Selection

NAMES = st.sampled_from(["a", "b", ""])
ABOUTS = st.builds(About, iss=NAMES, sub=NAMES, server=NAMES, asked=st.sampled_from([b"x", b"y"]))
ABOUT = About("https://login.example", "alice", "corp", b"x")


@given(ABOUTS)
def test_everything_is_everything(about: About) -> None:
    assert Selection().takes(about)
    assert Selection().everything


@given(ABOUTS, NAMES, NAMES)
def test_a_subject_is_the_name_that_one_issuer_gives(about: About, iss: str, sub: str) -> None:
    assert Selection(iss=iss, sub=sub).takes(about) is ((about.iss, about.sub) == (iss, sub))
    assert Selection(iss=iss).takes(about) is (about.iss == iss)
    assert Selection(iss=iss, sub=sub).names(about.iss, about.sub) is Selection(iss=iss, sub=sub).takes(about)


@given(ABOUTS, NAMES)
def test_a_server_is_told_by_its_name(about: About, server: str) -> None:
    assert Selection(server=server).takes(about) is (about.server == server)


@given(ABOUTS)
def test_a_route_is_told_by_what_it_asks_for(about: About) -> None:
    assert Selection(route="r", asked=frozenset({b"x"})).takes(about) is (about.asked == b"x")
    assert not Selection(route="r").takes(about), "one that exchanges nothing has no tokens"


def test_no_subject_is_of_a_route_or_a_server() -> None:
    for selection in (Selection(route="r", asked=frozenset({b"x"})), Selection(server="corp")):
        assert not selection.names(ABOUT.iss, ABOUT.sub)
        assert not selection.everything


def test_an_empty_name_is_a_name() -> None:
    assert not Selection(iss="").takes(ABOUT)
    assert not Selection(iss=ABOUT.iss, sub="").takes(ABOUT)
    assert Selection(iss=ABOUT.iss, sub="").takes(replace(ABOUT, sub=""))
