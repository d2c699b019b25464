"""Nothing that a record or a result says runs in a browser (promises 11 and 12).

A site is built of records and results whose every text is a payload; all its pages are opened in
headless Chromium, every element is touched, and each payload is searched and filtered for. What
counts: dialogs, words on the console, breaches of the policy, requests to another host, windows.
Not counted: what the theme's search worker says of a query that it cannot parse. A page that does
all of that shows that it would be seen.
"""

import contextlib
import functools
import importlib.util
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from urllib.parse import quote

import pytest

from benchmarks.pages import build_site

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome")
     if (found := shutil.which(name))),
    None,
)  # fmt: skip
pytestmark = [
    pytest.mark.browser,
    pytest.mark.trust,
    pytest.mark.timeout(900),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)"),
]
HERE = Path(__file__).parent
SEARCH_SECONDS = 60.0
PARSE_NOTICE = re.compile(r"/assets/javascripts/workers/search\.\w+\.min\.js$")
NOTHING = {"dialogs": [], "console": [], "violations": [], "foreign": [], "windows": []}


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


devtools = _module(HERE / "devtools.py")
hostile = _module(HERE.parent / "benchmarks" / "hostile_board.py")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""

    def copyfile(self, source, outputfile) -> None:  # a page that is left ends its downloads
        with contextlib.suppress(ConnectionError):
            super().copyfile(source, outputfile)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder on a port of this machine; its address, ending with a slash."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    board = hostile.hostile_board(hostile.small_catalog(), measured_every=1)
    return build_site(board, tmp_path_factory.mktemp("payloads") / "site")


@pytest.fixture
def opened(site: Path, tmp_path: Path):
    with served(site) as origin, devtools.Browser(CHROMIUM, tmp_path / "profile", origin) as one:
        yield origin, one


def test_no_page_runs_what_records_and_results_say(site, opened, record_property):
    origin, browser = opened
    pages = sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))
    assert len(pages) > 2 * len(hostile.PAYLOADS)
    touched = 0
    for page in pages:
        touched += browser.open(origin + page)
        assert browser.counts.all() == NOTHING, page
    record_property("pages", len(pages))
    record_property("elements", touched)
    assert touched > 100 * len(pages)


def test_nothing_runs_that_is_searched_and_filtered_for(opened, record_property):
    """Payloads in the address too, and search results, which scripts put together."""
    origin, browser = opened
    for payload in hostile.PAYLOADS:
        text = quote(payload, safe="")
        address = f"survey.html?text={text}&technique={text}&sort={text}&q={text}#{text}"
        browser.open(origin + address)
        assert but_parse_notices(browser.counts.all()) == NOTHING, payload
    found = 0
    for words in (hostile.MARK, "script", "javascript", "onclick", "img src"):
        browser.load(f"{origin}index.html?q={quote(words)}", settle_seconds=1.0)
        found += results_of_search(browser, SEARCH_SECONDS if words == hostile.MARK else 1.0)
        browser.touch(settle_seconds=1.0)
        assert but_parse_notices(browser.counts.all()) == NOTHING, words
    record_property("search_results", found)
    assert found > 0


def but_parse_notices(counts: dict[str, list[str]]) -> dict[str, list[str]]:
    """Without what the theme's search worker says of a query that it cannot parse."""
    notices = [one for one in counts["console"] if PARSE_NOTICE.search(one)]
    assert not notices or any("Invalid query" in one for one in notices), notices
    return counts | {"console": [one for one in counts["console"] if one not in notices]}


def results_of_search(browser, seconds: float) -> int:
    """How many there are as soon as there are any; the index is read after the page."""
    end = time.monotonic() + seconds
    while True:
        shown = browser.evaluate("document.querySelectorAll('.md-search-result__item').length")
        if shown or time.monotonic() > end:
            return int(shown)
        time.sleep(0.2)


BAD_PAGE = """<!doctype html><html><head><title>x</title></head><body>
<script>alert("a dialog"); console.log("a word"); fetch("http://foreign.example/a");</script>
<img src="http://foreign.example/b.png"><svg onload="pwned()"></svg>
<iframe srcdoc="<script>parent.pwned()</script>"></iframe>
<h2 onclick="pwned()">touched</h2><a href="javascript:pwned()">link</a>
<p onmouseover="window.open('about:blank')">open</p>
<script>throw new Error("wrong")</script></body></html>"""
STRICT_PAGE = """<!doctype html><html><head><title>x</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'">
</head><body><script>alert("stopped")</script><img src="http://foreign.example/c.png"></body></html>"""


def test_a_page_that_does_all_this_would_be_seen(tmp_path):
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "bad.html").write_text(BAD_PAGE)
    (tmp_path / "pages" / "strict.html").write_text(STRICT_PAGE)
    with (
        served(tmp_path / "pages") as origin,
        devtools.Browser(CHROMIUM, tmp_path / "profile", origin) as browser,
    ):
        browser.open(origin + "bad.html", settle_seconds=0.5)
        seen = browser.counts
        assert seen.dialogs.count("alert a dialog") == 1
        assert seen.dialogs.count("alert pwned") >= 4  # svg, iframe, click, link
        assert {"http://foreign.example/a", "http://foreign.example/b.png"} <= set(seen.foreign)
        assert any("a word" in one for one in seen.console)
        assert any("wrong" in one for one in seen.console)
        assert len(seen.windows) == 1
        assert seen.violations == []
        before = len(seen.dialogs)
        browser.open(origin + "strict.html", settle_seconds=0.5)
        assert len(seen.dialogs) == before
        assert sorted(one.split()[0] for one in seen.violations) == ["img-src", "script-src-elem"]
