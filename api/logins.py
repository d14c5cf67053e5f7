"""Which logins there may be, and when two of them are the same person's.

Two logins that look alike on a screen must not belong to two people. So a login is brought to NFKC, has letters
of one script only, and is unique by a **key**: case folded, with Cyrillic letters that look like Latin ones (small
or capital) replaced by those. "Alice", "ALICE" and a full-width "Ａｌｉｃｅ" have one key; "сор" in Cyrillic has the key
of "cop" in Latin. Accents and digits are left alone: "0" and "o" are different keys, as people expect.

Pure functions; nothing here asks the state.
"""

from __future__ import annotations

import unicodedata

from api.problems import Refusal

MIN_CHARACTERS = 3
MAX_CHARACTERS = 64
MAX_RAW_CHARACTERS = 4 * MAX_CHARACTERS  # before normalisation, which may shorten or lengthen

_MARKS = frozenset("0123456789._@+-")
_LATIN_FIRST, _LATIN_LAST = "\u00df", "\u017f"  # the letters of Latin-1 and Latin Extended-A
_CYRILLIC_FIRST, _CYRILLIC_LAST = "\u0430", "\u04ff"

# Case-folded Cyrillic (and odd Latin) letters and the Latin letter that either case of them resembles.
_LOOK_ALIKES = str.maketrans(
    {
        "а": "a", "в": "b", "е": "e", "к": "k", "м": "m", "н": "h", "о": "o", "р": "p", "с": "c", "т": "t",
        "у": "y", "х": "x", "ѕ": "s", "і": "i", "ї": "ï", "ј": "j", "ё": "ë", "һ": "h", "ү": "y", "ӏ": "l",
        "ԛ": "q", "ԝ": "w", "қ": "k", "ң": "h", "ҳ": "x", "ҫ": "ç", "ı": "i", "ĸ": "k",
    }
)  # fmt: skip


def canonical_login(text: str) -> tuple[str, str]:
    """The login as it is shown, and its unique key. Raises `Refusal("invalid-login")` with the reason."""
    if len(text) > MAX_RAW_CHARACTERS:
        raise _refuse(f"it has more than {MAX_CHARACTERS} characters")
    login = unicodedata.normalize("NFKC", text)
    folded = unicodedata.normalize("NFKC", login.casefold())
    if not MIN_CHARACTERS <= len(login) <= MAX_CHARACTERS or len(folded) > MAX_CHARACTERS:
        raise _refuse(f"it must have {MIN_CHARACTERS} to {MAX_CHARACTERS} characters")
    scripts = {_script(character) for character in folded} - {""}
    if len(scripts) > 1:
        raise _refuse("its letters must be of one script: Latin or Cyrillic")
    return login, folded.translate(_LOOK_ALIKES)


def _script(character: str) -> str:
    if character in _MARKS:
        return ""
    if "a" <= character <= "z":
        return "latin"
    if character.isalpha() and _LATIN_FIRST <= character <= _LATIN_LAST:
        return "latin"
    if character.isalpha() and _CYRILLIC_FIRST <= character <= _CYRILLIC_LAST:
        return "cyrillic"
    raise _refuse("only Latin or Cyrillic letters, digits and . _ @ + - may stand in it")


def _refuse(reason: str) -> Refusal:
    return Refusal("invalid-login", f"The login cannot be used: {reason}.", errors=[("/login", reason)])
