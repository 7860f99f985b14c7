"""JSON texts by what a strict reader makes of them: VALID ones, INVALID ones, and those that RFC 8259 leaves open.

Generated from the grammar's productions, with every way that each can go wrong; some are bytes that no text can be.
"""

from collections.abc import Iterator
from string import ascii_letters
from typing import Final

_WHITESPACE: Final = ("", " ", "\t", "\n", "\r", " \t\r\n ")
_ESCAPES: Final = '"\\/bfnrt'


def _named(group: str, texts: Iterator[str | bytes]) -> dict[str, bytes]:
    return {
        f"{group} {number}": text if isinstance(text, bytes) else text.encode() for number, text in enumerate(texts)
    }


def _numbers() -> Iterator[str]:
    for sign in ("", "-"):
        for whole in ("0", "1", "90", "123456789012345678"):
            for fraction in ("", ".0", ".00000000001"):
                for exponent in ("", "e0", "E-2", "e+05"):
                    yield f"{sign}{whole}{fraction}{exponent}"


def _strings() -> Iterator[str]:
    yield from (f'"\\{escape}"' for escape in _ESCAPES)
    yield from ('""', '" "', '"\\u0000"', '"\\uFFFF"', '"\\uD834\\udd1e"', '"\x7f"', '"é"', '"\u2028"', '"\U0010ffff"')
    yield from ('"\\\\u0000"', '"\\"', '"/"')[:1]


def _values() -> Iterator[str]:
    for inner in ("", "1", '"a"', "null", "true", "false", "[]", "{}"):
        for space in _WHITESPACE:
            yield f"[{space}{inner}{space}]"
            yield f'{{{space}"a"{space}:{space}{inner or 0}{space}}}'
    yield from ("[1,2]", '{"a":1,"b":2}', '{"":0}', '{"\\u0061":1}', '{"__proto__":{}}', "[" * 30 + "]" * 30)


def _bad_numbers() -> Iterator[str]:
    yield from (
        "-",
        "+1",
        "01",
        "-01",
        "1.",
        ".5",
        "-.5",
        "1e",
        "1e+",
        "1E-",
        "0e",
        "1.e3",
        "1eE2",
        "1e1.5",
        "--1",
        "1-",
    )
    yield from ("0x10", "0b1", "1_000", "1,000.5", "1 000", "1f", "Infinity", "-Infinity", "NaN", "-NaN", "inf", "１")
    yield from ("1.2.3", "1e2e3", "++1", "1+2", "0.1.", "2.e+3", "-2.", "0.3e", "0E+", "9.e+")


def _bad_strings() -> Iterator[str | bytes]:
    yield from (f'"{chr(code)}"' for code in range(0x20))
    yield from (f'"\\{letter}"' for letter in [*ascii_letters, *"0123'`a(\n"] if letter not in _ESCAPES + "u")
    yield from (
        '"\\u"',
        '"\\u0"',
        '"\\u00g0"',
        '"\\u 041"',
        '"\\u{41}"',
        '"\\U00000041"',
        '"\\x41"',
        '"\\',
        '"',
        '"a',
        "'a'",
    )
    yield from ('"a" "b"', 'a"b"', '"a"b', "`a`", "“a”", "a", '"\\u00"', '"\\uD800\\u"', '"\\é"')
    for broken in (b"\x80", b"\xbf", b"\xc0\xaf", b"\xc1\xbf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xed\xa0\x80"):
        yield b'"' + broken + b'"'
    for broken in (
        b"\xf4\x90\x80\x80",
        b"\xfc\x83\xbf\xbf\xbf\xbf",
        b"\xe2\x82",
        b"\xc3",
        b"\xff",
        b"\xfe",
        b"\xe9",
        b"\xf8",
    ):
        yield b'"' + broken + b'"'


def _bad_structures() -> Iterator[str | bytes]:
    yield from (
        "[,]",
        "[1,]",
        "[,1]",
        "[1,,2]",
        "[1 2]",
        "[1:2]",
        "[",
        "]",
        "[1",
        "1]",
        "[1]]",
        "[[1]",
        "(1)",
        "[1}",
        "<1>",
    )
    yield from (
        "{",
        "}",
        "{,}",
        '{"a"}',
        '{"a":}',
        '{"a":1,}',
        '{,"a":1}',
        '{"a":1,,"b":2}',
        '{"a" 1}',
        '{"a":1 "b":2}',
    )
    yield from (
        "{a:1}",
        "{'a':1}",
        "{1:1}",
        "{null:1}",
        "{[]:1}",
        '{"a"::1}',
        '{"a":1',
        '{"a":1}}',
        '{"a":1]',
        '{"a",1}',
        "{:1}",
    )
    yield from (
        "nul",
        "tru",
        "fals",
        "NULL",
        "True",
        "False",
        "None",
        "undefined",
        "nullx",
        "truefalse",
        "yes",
        "void 0",
    )
    yield from (
        "/**/1",
        "1/**/",
        "1//",
        "#1",
        "1#",
        "<!--1-->",
        ";1",
        "1;",
        "=1",
        "@",
        "*",
        "$",
        "\\",
        "&amp;",
        "\u20601",
    )
    yield from ("\ufeff1", "\u00a01", "\x0c1", "\x0b1", "\u20281", "1\x00", "\x001", "\u30001", "\u00851", "\x1b1")
    yield from ("", " ", ",", ":", '"a":1', "1,2", "{}{}", "[][]", "1 1", "nullnull", '{"a":1}#', "[1]x", '""""')
    whole = '{"a":[1,-2.5e3,"\\u00e9x",true,null,{"b":{}}]}'
    yield from (whole[:length] for length in range(1, len(whole)))
    yield from (whole.encode(coding) for coding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"))
    yield whole.replace("{", "｛")
    yield b"\xef\xbb\xbf" + whole.encode()


VALID: Final = {**_named("number", _numbers()), **_named("string", _strings()), **_named("value", _values())}
INVALID: Final = {
    **_named("bad number", _bad_numbers()),
    **_named("bad string", _bad_strings()),
    **_named("bad structure", _bad_structures()),
}
#: What readers differ in; a strict one takes none of them.
LEFT_OPEN: Final = {
    **_named("half a pair", iter(('"\\ud800"', '"\\udfff"', '"\\ud800x"', '"\\ud800\\ud800"', '"\\udd1e\\ud834"'))),
    **_named("a number beyond doubles", iter(("1e400", "-1e400", "1.5e9999", "123456e100000"))),
    **_named("an integer beyond all use", iter(("1" * 5000, "-" + "9" * 10_000))),
    **_named("a name twice", iter(('{"a":1,"a":1}', '{"a":1,"\\u0061":2}', '[{"b":{"c":1,"c":2}}]', '{"":0,"":0}'))),
    **_named("deep", iter(("[" * 65 + "]" * 65, '{"a":' * 500 + "1" + "}" * 500, "[" * 20_000 + "]" * 20_000))),
}
