"""Every block that readers are shown is what it says it is: files pass their check, commands do what the page says.

Each of these tests is tried on broken copies, too: a typo in a page must not pass.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.__main__ import main
from sidecar.config.problems import Finding
from sidecar.config.schema import Config
from sidecar.config.validation import validate, validator
from sidecar.oauth.jwt import generate_key, jwk_set, sign
from tests.docs.pages import PAGES, ROOT, BadMark, Block, blocks, files, read
from tests.docs.play import Differs, play
from tests.support.certificates import Issued, self_signed

#: The pages by the name of their file; the index in docs/ is called by its path.
PATHS = {str(page.relative_to(ROOT)) if page.name == "README.md" else page.name: page for page in PAGES}
READ = {name: read(page) for name, page in PATHS.items()}
every_page = pytest.mark.parametrize("page", READ.values(), ids=READ)

SECRET = "placeholder"


def whole(page: list[Block]) -> dict[str, str]:
    """The configuration files that a page shows, by what they are called there."""
    named = {name: text for name, text in files(page).items() if name.endswith(".yaml")}
    plain = {block.place: block.text for block in page if block.language == "yaml" and not block.mark}
    return named | plain


WHOLE = {f"{name}: {called}": text for name, page in READ.items() for called, text in whole(page).items()}
FRAGMENTS = {block.place: block.text for page in READ.values() for block in page if block.mark == "fragment"}


def check(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Check a whole file with the command for its kind; what secrets it names are made first."""
    file = folder / "shown.yaml"
    file.write_text(text, encoding="utf-8")
    pairs: dict[str, Issued] = {}
    for key, value in members(yaml.safe_load(text)):
        if key.endswith("_file") or key == "file":
            (folder / value).write_bytes(content(Path(value), folder, pairs))
        elif key.endswith("_env"):
            monkeypatch.setenv(value, SECRET)
    gateway = re.search("^(routes|gateway):", text, re.MULTILINE)
    return main(["check", "-c", str(file)] if gateway else ["sts", "--check", "-c", str(file)])


def content(path: Path, folder: Path, pairs: dict[str, Issued]) -> bytes:
    """What a file of this name would hold; a certificate and a key of one name belong together."""
    if path.suffix == ".jwks":
        return json.dumps(jwk_set([generate_key("ES256", "k")])).encode()
    if path.suffix == ".jwt":
        return sign({"sub": "workload"}, generate_key("ES256", "k"), "ES256", {}).encode()
    if path.suffix not in (".crt", ".key"):
        return SECRET.encode()
    pair = pairs.get(path.stem) or pairs.setdefault(path.stem, self_signed(folder, path.stem))
    return Path(pair.cert_file if path.suffix == ".crt" else pair.key_file).read_bytes()


def members(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from members(each)


def wrong(fragment: str) -> list[Finding]:
    """What is wrong with a part of a configuration file; what is missing is expected to be elsewhere."""
    content = yaml.safe_load("".join(line for line in fragment.splitlines(keepends=True) if line.strip() != "…"))
    return [
        finding
        for finding in validate(validator(Config), content, None)[1]
        if not finding.message.startswith("missing")
    ]


def test_there_is_something_to_test() -> None:
    assert {"README.md", "tutorial.md", "configuration.md", "sts.md"} <= READ.keys()
    assert {"README.md: routes.yaml", "tutorial.md: routes.yaml", "tutorial.md: sts.yaml"} <= WHOLE.keys()
    assert len(FRAGMENTS) >= 3
    assert [block.mark for block in READ["tutorial.md"]].count("output") > 5


@every_page
def test_its_blocks_are_all_seen(page: list[Block]) -> None:
    name = next(name for name, each in READ.items() if each is page)
    text = PATHS[name].read_text(encoding="utf-8")
    assert 2 * len(page) == len(re.findall("^ *(```|~~~)", text, re.MULTILINE))


@pytest.mark.parametrize("text", WHOLE.values(), ids=WHOLE)
def test_a_whole_file_passes_its_check(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check(text, tmp_path, monkeypatch) == 0


@pytest.mark.parametrize("text", WHOLE.values(), ids=WHOLE)
def test_a_typo_in_any_key_of_a_section_fails(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = re.compile(r"\b(audience|issuer|scope|listen)(?=:)")
    places = list(key.finditer(text))
    assert places
    for place in places[:4]:
        assert check(f"{text[: place.end()]}x{text[place.end() :]}", tmp_path, monkeypatch) == 2, place


@pytest.mark.parametrize("text", FRAGMENTS.values(), ids=FRAGMENTS)
def test_a_fragment_has_the_form_of_its_part(text: str) -> None:
    assert wrong(text) == []


@pytest.mark.parametrize("text", FRAGMENTS.values(), ids=FRAGMENTS)
def test_a_typo_in_a_fragment_fails(text: str) -> None:
    first, rest = text.split(":", 1)
    assert wrong(f"{first}x:{rest}")
    last = list(re.finditer(r"^( +)(?:- )?[a-z_-]+(?=:)", text, re.MULTILINE))[-1]
    assert wrong(f"{text[: last.end()]}x{text[last.end() :]}")


@every_page
def test_every_command_is_run_or_says_why_not(page: list[Block]) -> None:
    for block in page:
        if block.language in ("sh", "bash", "shell", "console"):
            assert block.mark in ("run", "background", "not run"), f"{block.place}: nobody runs it"
            assert block.detail or block.mark == "run", f"{block.place}: the reason is missing"


@every_page
def test_every_other_block_is_of_a_known_kind(page: list[Block]) -> None:
    for block in page:
        assert block.language in ("yaml", "sh", "text", "python", "diff", "promql", "rego", ""), block.place
        assert block.mark != "fragment" or block.language == "yaml", block.place


PLAYED = {name: page for name, page in READ.items() if any(block.mark == "run" for block in page)}


@pytest.mark.skipif(shutil.which("curl") is None, reason="readers need curl, and there is none")
@pytest.mark.parametrize("page", PLAYED.values(), ids=PLAYED)
def test_what_happens_is_what_it_says(page: list[Block], tmp_path: Path) -> None:
    play(page, tmp_path)


def test_a_comment_that_means_nothing_fails() -> None:
    with pytest.raises(BadMark, match="page:1: rnu"):
        list(blocks("<!-- rnu -->\n```sh\ntrue\n```\n", "page"))


STEPS = """
<!-- file: greeting -->
```text
good
```
<!-- file: greeting -->
```text
morning
```
<!-- run -->
```sh
mkdir inner
mv greeting inner
cd inner
name=alice
```
<!-- run -->
```sh
echo "$name says"
cat greeting
```
<!-- output -->
```text
…ice says
…
morning
```
<!-- background: server, 8080 -->
```sh
python3 -c 'import http.server as s; print("up", flush=True); s.test(port=8080, bind="127.0.0.1")'
```
<!-- output of: server -->
```text
up
```
<!-- run: exits with 3 -->
```sh
exit 3
```
"""


def test_a_page_is_played_in_order_as_in_one_terminal(tmp_path: Path) -> None:
    play(list(blocks(STEPS, "page")), tmp_path)


@pytest.mark.parametrize(
    ("text", "typo", "block"),
    [
        ("morning\n```\n<!-- back", "evening\n```\n<!-- back", 4),
        ("cat greeting", "cat greetings", 3),
        ("exits with 3", "exits with 4", 7),
        ("exits with 3 -->\n```sh\nexit 3", "exits with 3 -->\n```sh\nfalse\nexit 3", 7),
    ],
    ids=["output", "command", "status", "a command before the last"],
)
def test_a_typo_in_a_played_page_fails(text: str, typo: str, block: int, tmp_path: Path) -> None:
    assert text in STEPS
    page = list(blocks(STEPS.replace(text, typo), "page"))
    with pytest.raises(Differs, match=f"^{page[block].place}: "):
        play(page, tmp_path)
