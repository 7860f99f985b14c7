"""The upstream knows whose token it was sent, and which ones are past their end."""

import json
from pathlib import Path

from tests.reliability.callers import Issuer
from tests.reliability.programs.upstream import Seen


def test_a_token_that_is_past_its_end_is_counted(tmp_path: Path) -> None:
    issuer, seen = Issuer(tmp_path), Seen()
    assert seen.use(issuer.caller("alice", 60).token) == "alice"
    assert seen.dead == 0
    assert seen.use(issuer.caller("bob", -1).token) == "bob"
    assert seen.dead == 1
    assert len(seen.tokens) == 2


def test_an_opaque_token_names_its_subject() -> None:
    assert Seen().use("issued~alice~7~xxxx") == "alice"


def test_a_post_that_comes_again_is_told() -> None:
    seen = Seen()
    seen.posts.update(["one", "two", "one"])
    report = json.loads(json.dumps(seen.report()))
    assert (report["doubled"], report["posts"]) == (["one"], 2)
