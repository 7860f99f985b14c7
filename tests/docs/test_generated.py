"""Documents that are made from the code are as the code makes them."""

import pytest

from tests.docs.generate import FOLDER, MADE


@pytest.mark.parametrize("name", MADE)
def test_it_is_up_to_date(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == MADE[name](), "run: python -m tests.docs.generate"
