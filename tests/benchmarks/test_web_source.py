"""Addresses as sources: what comes from there is bounded, and nothing wrong of it is kept."""

import gzip
import hashlib
import http.server
import threading
from dataclasses import replace

import pytest

from benchmarks.datasets import DataMissing, contents
from benchmarks.declarations import DIGITS
from benchmarks.sources import DataFile, Remote, SourceFailed, WebAddress, download

RIGHT = bytes(range(256)) * 20
BOMB_BYTES = 64 << 20


def sha256(data):
    return hashlib.sha256(data).hexdigest()


IMAGES = DataFile("images", len(RIGHT), sha256(RIGHT))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NETCOMPRESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NETCOMPRESS_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache"


def kept(folder):
    return {path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


@pytest.fixture
def server():
    """A web server on this machine; ``pages`` maps paths to bodies."""
    pages: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = pages.get(self.path)
            self.send_response(200 if body is not None else 404)
            # No length is sent, so that the reader must stop by itself.
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *args):
            """Says nothing."""

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}/", pages
    running.shutdown()
    thread.join()
    running.server_close()


class TestWeb:
    def address(self, base, served=None):
        known = {"size_bytes": len(served), "sha256": sha256(served)} if served else {}
        return WebAddress(base, {"images": Remote("images.gz", gzipped=True, **known)})

    def test_the_file_arrives(self, server):
        base, pages = server
        served = gzip.compress(RIGHT)
        pages["/images.gz"] = served
        for source in (self.address(base, served), self.address(base)):
            (arrived,) = source.obtain([IMAGES], None, lambda share, what: None)
            assert arrived[1] == RIGHT

    @pytest.mark.parametrize("known", [True, False])
    @pytest.mark.parametrize(
        "body",
        [
            None,
            b"",
            b"<html>log in to this network</html>",
            gzip.compress(RIGHT)[:-1],
            gzip.compress(RIGHT) + b"x" * 100_000,
            gzip.compress(RIGHT[:-1] + b"\0"),
            gzip.compress(b"\0" * BOMB_BYTES),
        ],
        ids=["404", "empty", "portal", "truncated", "endless", "changed", "bomb"],
    )
    def test_nothing_wrong_is_kept(self, server, body, known, cache):
        base, pages = server
        if body is not None:
            pages["/images.gz"] = body
        source = self.address(base, gzip.compress(RIGHT) if known else None)
        with pytest.raises(DataMissing, match="the official address"):
            contents(replace(DIGITS, name="tiny", files=(IMAGES,), sources=(source,)))
        assert kept(cache) == set()

    def test_reading_stops_at_the_size(self, server):
        base, pages = server
        pages["/x"] = b"x" * 1000
        with pytest.raises(SourceFailed, match="more than the 999 bytes"):
            download(f"{base}x", 999)
        assert download(f"{base}x", 1000) == pages["/x"]

    def test_no_server(self):
        with pytest.raises(SourceFailed, match=r"127\.0\.0\.1:9"):
            download("http://127.0.0.1:9/x", 10)

    def test_too_slow(self, server, monkeypatch):
        base, pages = server
        pages["/x"] = b"x" * 1000
        monkeypatch.setattr("benchmarks.sources.DOWNLOAD_SECONDS", -1)
        with pytest.raises(SourceFailed, match="too slow"):
            download(f"{base}x", 1000)
