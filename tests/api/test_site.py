"""The files of the page: small, compressed, kept by browsers for good by their version, and nothing else than those."""

from __future__ import annotations

import gzip
import posixpath
import re
from pathlib import Path

import api.site
from api.site import Site
from tests.api.conftest import Node, expect_problem

WEB = Path(api.site.__file__).parent / "web"
READER = ("docs.js", "docs.css")
FIRST = ("app.", "base.css", "lib/", "views/book", "views/login", "views/bell", "icon.svg")
MAX_FIRST_SCREEN_BYTES = 60_000
MAX_WHOLE_BYTES = 135_000


def sizes() -> dict[str, int]:
    """What goes over the wire for each file of the page."""
    site = Site()
    files = {name.partition("/")[2]: file for name, file in site.files.items()} | {
        "app.html": site.pages["/"]
    }
    return {name: len(file.compressed or file.body) for name, file in files.items() if name not in READER}


def test_the_page_stays_small() -> None:
    told = sizes()
    first = sum(size for name, size in told.items() if name.startswith(FIRST))
    print(f"first screen {first}, whole {sum(told.values())}")
    assert first <= MAX_FIRST_SCREEN_BYTES, sorted(told.items(), key=lambda each: -each[1])[:5]
    assert sum(told.values()) <= MAX_WHOLE_BYTES


def test_comments_are_left_out_and_nothing_else() -> None:
    """Line by line: what is sent is the line or, for a comment outside of any text, nothing."""
    left_out = 0
    for name, file in Site().files.items():
        if not name.endswith(".js"):
            continue
        written = (WEB / name.partition("/")[2]).read_text(encoding="utf-8").split("\n")
        sent = file.body.decode().split("\n")
        assert len(sent) == len(written), name
        ticks = 0
        for before, after in zip(written, sent, strict=True):
            ticks += before.count("`")
            if after != before:
                assert after == ""
                assert before.lstrip().startswith(("//", "/**", "*")), (name, before)
                assert ticks % 2 == 0, f"{name}: within a template: {before}"
                left_out += 1
    assert left_out > 100


def test_the_version_is_that_of_all_the_files() -> None:
    assert Site().version == Site().version
    assert re.fullmatch(r"[0-9a-f]{12}", Site().version)


async def test_files_are_kept_for_good_and_pages_are_asked_for(node: Node) -> None:
    page = await node.get("/")
    text = await page.text()
    assert page.headers["Cache-Control"] == "no-cache"
    again = await node.get("/", If_None_Match=page.headers["ETag"])
    assert again.status == 304
    assert again.headers["Content-Security-Policy"] == page.headers["Content-Security-Policy"]
    assert not await again.read()
    named = re.findall(r'(?:src|href)="(/web/[^"]+)"', text)
    assert any(each.endswith("/app.js") for each in named)
    for path in named:
        answer = await node.get(path)
        assert answer.status == 200, path
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"


def test_the_page_fetches_all_of_its_modules() -> None:
    """A page whose node dies must not lack a file: every module is imported by the first one, or by a view that it names."""
    site = Site()
    texts = {name.partition("/")[2]: file.body.decode() for name, file in site.files.items()}
    (views,) = re.findall(r"const VIEWS = \[(.*?)\];", texts["app.js"])
    found, waiting = set(), ["app.js", *(f"views/{name}.js" for name in re.findall(r'"(\w+)"', views))]
    while waiting:
        name = waiting.pop()
        found.add(name)
        for imported in re.findall(r'(?:from|import) "(\.[^"]+)"', texts[name]):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(name), imported))
            waiting += [path] if path not in found else []
    assert found == {name for name in texts if name.endswith(".js")} - set(READER)


async def test_it_is_compressed_for_whoever_takes_that(node: Node) -> None:
    path = f"/web/{Site().version}/app.js"
    answers = {}
    for accepted in ("gzip, br", "x-gzip;q=0.5", "gzip;q=0", "identity", "br"):
        async with node.client.session.get(
            node.client.make_url(path), headers={"Accept-Encoding": accepted}, auto_decompress=False
        ) as answer:  # fmt: skip
            assert answer.headers["Vary"] == "Accept-Encoding"
            answers[accepted] = (
                answer.headers.get("Content-Encoding"),
                await answer.read(),
                answer.headers["ETag"],
            )
    plain = answers["identity"]
    assert plain[0] is None
    assert answers["br"] == answers["gzip;q=0"] == plain
    assert answers["x-gzip;q=0.5"] == answers["gzip, br"]
    coding, body, tag = answers["gzip, br"]
    assert coding == "gzip"
    assert gzip.decompress(body) == plain[1]
    assert tag != plain[2], "an ETag names bytes"


async def test_nothing_else_is_served(node: Node) -> None:
    version = Site().version
    for path in ("app.js", f"{version}/", f"{version}/index.html", f"{version}/x.js", "0123456789ab/app.js"):
        await expect_problem(await node.get(f"/web/{path}"), 404, "not-found")
