"""The words of the page, as its scripts add them: both languages say everything, with the same places to fill in and all the plural forms they have;
whatever is said by name has words, and no word goes unsaid.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Browser, Route

WEB = Path(__file__).resolve().parents[2] / "api" / "web"
FORMS = {
    "ru": {"one", "few", "many"},
    "en": {"one", "other"},
}  # of whole numbers; Russian has "other" for parts
PLACE = re.compile(r"\{(\w+)\}")
SAID = re.compile(r'\b(?:say|knows)\("([\w.-]+)"')
LISTENING = "export const added = []; export const addWords = (each) => { added.push(each); };"

Said = str | dict[str, str]
Words = dict[str, dict[str, dict[str, Said]]]  # by file, language and key


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def words(browser: Browser) -> Words:
    """What each file of words adds, heard by a `words.js` that only listens."""

    async def serve(route: Route) -> None:
        name = route.request.url.partition(".test/")[2]
        body = (
            LISTENING if name == "lib/words.js" else (WEB / name).read_text(encoding="utf-8") if name else ""
        )
        await route.fulfill(body=body, content_type="text/javascript" if name else "text/html")

    page = await browser.new_page()
    await page.route("**/*", serve)
    await page.goto("http://words.test/")
    names = sorted(file.relative_to(WEB).as_posix() for file in WEB.rglob("*.words.js"))
    heard: Words = await page.evaluate(
        """async (names) => {
            const { added } = await import("/lib/words.js");
            const heard = {};
            for (const name of names) {
                await import(`/${name}`);
                heard[name] = {};
                for (const each of added.splice(0)) for (const code of Object.keys(each)) Object.assign(heard[name][code] ??= {}, each[code]);
            }
            return heard;
        }""",
        names,
    )
    await page.close()
    return heard


def texts(said: Said) -> list[str]:
    return [said] if isinstance(said, str) else list(said.values())


async def test_both_languages_say_the_same(words: Words) -> None:
    for name, languages in words.items():
        assert set(languages) == {"ru", "en"}, name
        assert set(languages["ru"]) == set(languages["en"]), name
        for key in languages["ru"]:
            for language, forms in FORMS.items():
                said = languages[language][key]
                assert all(texts(said)), f"{name}: {language} {key} is empty"
                assert isinstance(said, str) or forms <= set(said) <= forms | {"other"}, (
                    f"{name}: {language} {key}"
                )
            ru, en = (
                {place for text in texts(languages[each][key]) for place in PLACE.findall(text)}
                for each in ("ru", "en")
            )
            assert ru - {"count"} == en - {"count"}, f"{name}: {key}"


async def test_no_two_files_say_one_key_differently(words: Words) -> None:
    seen: dict[str, tuple[str, list[Said]]] = {}
    for name, languages in words.items():
        for key in languages["ru"]:
            said = [languages["ru"][key], languages["en"][key]]
            other, before = seen.setdefault(key, (name, said))
            assert before == said, f"{key}: {name} and {other}"


async def test_whatever_is_said_by_name_has_words(words: Words) -> None:
    known = {key for languages in words.values() for key in languages["en"]}
    for file in sorted(WEB.rglob("*.js")):
        for key in SAID.findall(file.read_text(encoding="utf-8")):
            assert key in known, f"{file.name}: {key}"


async def test_no_word_goes_unsaid(words: Words) -> None:
    """A key stands somewhere in the scripts, whole or as the end of a name that is put together (`book.state.` + "free")."""
    scripts = "\n".join(
        file.read_text(encoding="utf-8") for file in WEB.rglob("*.js") if not file.name.endswith(".words.js")
    )
    put_together = set(re.findall(r"[`\"]([\w.-]+[.-])\$\{", scripts))
    literal = set(re.findall(r"[\"'`]([\w.-]+)[\"'`]", scripts))
    unsaid = {
        key
        for languages in words.values()
        for key in languages["en"]
        if key not in literal and not any(key.startswith(start) for start in put_together)
    }
    assert not unsaid, sorted(unsaid)
