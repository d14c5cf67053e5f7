"""Which addresses are taken, and the codes that confirm them."""

from __future__ import annotations

import pytest

from node.mail_addresses import AddressCodes, is_address
from node.secret import Secret

OLD, NEW = "an old secret of the tests, long enough", "a new secret of the tests, long enough"


@pytest.mark.parametrize(
    "text",
    [
        "ann@example.com",
        "a.b+c_d@sub.example.org",
        "x@localhost",
        "o'neil@example.com",
        "a@" + ("b" * 63 + ".") * 3 + "c",
    ],
)
def test_addresses(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "ann", "@example.com", "ann@", "a@b@c", ".ann@example.com", "a..b@example.com", "ann.@example.com", "ann@-x.org", "ann@x-.org",
        "ann@exa mple.com", "ann@example.com ", " ann@example.com", "ann@example.com\n", "ann@example.com\r\nBcc: eve@example.com",
        "<ann@example.com>", '"ann"@example.com', "ann(x)@example.com", "ann@[127.0.0.1]", "ann@example..com", "пётр@example.com",
        "ann@пример.рф", "a" * 65 + "@example.com", "a@" + "b" * 64 + ".org", "ann,eve@example.com", "ann@example.com\0", "a@" + ("b" * 63 + ".") * 4,
    ],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    assert not is_address(text)


def test_a_code_is_for_one_user_and_one_address() -> None:
    codes = AddressCodes(Secret([OLD]))
    code = codes.code("u1", "ann@example.com")
    assert len(code) == 11 and code[5] == "-"
    assert code == codes.code("u1", "ann@example.com")
    assert codes.confirms(code, "u1", "ann@example.com")
    assert not codes.confirms(code, "u2", "ann@example.com")
    assert not codes.confirms(code, "u1", "bob@example.com")
    for wrong in ("", "-", code[:-1], code + "0", "00000-00000", "ü" * 10, "\udc80"):
        assert not codes.confirms(wrong, "u1", "ann@example.com")


def test_a_code_is_read_as_people_write_it() -> None:
    codes = AddressCodes(Secret([OLD]))
    for number in range(200):
        code = codes.code(f"u{number}", "ann@example.com")
        loose = code.lower().replace("-", " ").replace("0", "o").replace("1", "l")
        assert codes.confirms(f"  {loose} ", f"u{number}", "ann@example.com")


def test_a_code_survives_the_rotation_of_the_members_secret() -> None:
    code = AddressCodes(Secret([OLD])).code("u1", "ann@example.com")
    assert AddressCodes(Secret([NEW, OLD])).confirms(code, "u1", "ann@example.com")
    assert AddressCodes(Secret([NEW, OLD])).code("u1", "ann@example.com") != code
    assert not AddressCodes(Secret([NEW])).confirms(code, "u1", "ann@example.com")
