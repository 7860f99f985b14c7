from sidecar.config.problems import Finding
from sidecar.config.tree import Part


def test_a_part_knows_its_path() -> None:
    root = Part({"a": {"b": ["x", 1]}})
    assert [item.path for item in root["a"]["b"].items()] == [("a", "b", 0), ("a", "b", 1)]
    assert [item.text for item in root["a"]["b"].items()] == ["x", None]
    assert [(name, part.value) for name, part in root["a"].members()] == [("b", ["x", 1])]
    assert root["a"]["c"].finding("missing") == Finding(("a", "c"), "missing")


def test_what_is_not_there_or_null_is_absent() -> None:
    root = Part({"a": None, "b": False})
    assert "a" not in root
    assert "b" in root
    assert "c" not in root["b"]["anything"]


def test_every_other_shape_is_empty() -> None:
    for value in (None, 1, "text", [1], {"a": 1}):
        part = Part(value)
        assert part.members() == [] or isinstance(value, dict)
        assert list(part.items()) == [] or isinstance(value, list)
        assert part["x"].value is None


def test_a_value_is_read_as_the_schema_reads_it() -> None:
    root = Part({"good": "7", "bad": "seven", "other": 7})
    assert [root[name].read(int) for name in ("good", "bad", "other", "absent")] == [7, None, None, None]
