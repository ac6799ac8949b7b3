"""Mirrors that send nonsense, pages in place of files, too little, or for ever."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from actionrec.errors import InputError
from actionrec.sources.download import download
from actionrec.sources.http import Patience
from faults import table
from faults.servers import Answer, answer, drip, serving
from faults.table import Fault, Scene

AREA = "downloads"
CONTENT = b"PK\x03\x04" + bytes(range(256)) * 40
SUM = hashlib.sha256(CONTENT).hexdigest()
HURRIED = Patience(connect=0.5, read=0.5, attempts=2, pause=0.01, longest=0.1)
PAGE = b"<!DOCTYPE html>\n<html><body>Please log in</body></html>"
SECONDS = 15  # within which every download must end


class Mirrors(Scene):
    """An archive at a mirror that fails and at one that does not; an older file is next to it."""

    sha256: str | None = SUM

    def prepare(self) -> None:
        self.target = self.folder / "archives" / "set.zip"
        self.target.parent.mkdir()
        (self.target.parent / "other.zip").write_bytes(b"other")
        self.bad: Answer | str = b""

    def act(self) -> str:
        began = time.monotonic()
        own = {} if isinstance(self.bad, str) else {"/bad": self.bad}
        with serving({**own, "/good": answer(CONTENT)}) as (address, _):
            first = self.bad if isinstance(self.bad, str) else f"{address}/bad"
            urls = [first, f"{address}/good"]
            said = self.said(lambda: download(urls, self.target, self.sha256, patience=HURRIED))
        assert self.target.read_bytes() == CONTENT, "the next mirror has the file"
        assert time.monotonic() - began < SECONDS
        return said


class Unlisted(Mirrors):
    """The same for an archive whose checksum nobody published."""

    sha256 = None

    def act(self) -> str:
        said = super().act()
        assert self.target.with_name("set.zip.sha256").read_text().startswith(SUM)
        return said


def send(bad: Answer | str) -> Callable[[Mirrors], object]:
    """Return an injection: the first mirror answers this, or is this address."""
    return lambda scene: setattr(scene, "bad", bad)


def mirror(fault: str, bad: Answer | str, *seen: str) -> Fault:
    return Fault(fault, "answered by the first mirror", Mirrors, send(bad), seen)


def unlisted(fault: str, bad: Answer, *seen: str) -> Fault:
    return Fault(fault, "answered with status 200, no checksum known", Unlisted, send(bad), seen)


OK = b"HTTP/1.1 200 OK\r\n"
NOT_UNDERSTOOD = "an answer that is not understood"
FAULTS = [
    mirror(
        "redirect to half an address",
        answer(status="302 Found", location="http://[::1"),
        NOT_UNDERSTOOD,
    ),
    mirror("redirect to no scheme", answer(status="302 Found", location="nothing://x"), "/bad: "),
    mirror(
        "redirect to a port that is none",
        answer(status="302 Found", location="http://a:x/"),
        "/bad: ",
    ),
    mirror(
        "redirect to a file", answer(status="302 Found", location="file:///etc/passwd"), "/bad: "
    ),
    mirror("redirect without a place", answer(status="302 Found"), "HTTP 302"),
    mirror("redirect in a circle", answer(status="302 Found", location="/bad"), "redirects"),
    mirror("not modified", answer(status="304 Not Modified"), "HTTP 304"),
    mirror("no content", answer(status="204 No Content"), "wrong checksum", "an empty file"),
    mirror("length that is no number", answer(b"x", content_length="abc"), "wrong checksum"),
    mirror("length below zero", answer(b"x", content_length="-5"), "/bad: "),
    mirror("length of 5,000 digits", answer(b"x", content_length="9" * 5000), "/bad: "),
    mirror("range not satisfiable, unasked", answer(status="416 No"), "HTTP 416"),
    mirror(
        "part of a file, unasked",
        answer(b"x", "206 Partial", content_range="bytes 7-7/9"),
        "another part",
    ),
    mirror("part of nothing", answer(b"x", "206 Partial"), "another part"),
    mirror(
        "half a range",
        answer(CONTENT[:99], "206 Partial", content_range=f"bytes 0-98/{len(CONTENT)}"),
        "broke off",
    ),
    mirror("no HTTP", b"SSH-2.0-OpenSSH_9.2\r\n", "/bad: "),
    mirror("nothing", b"", "/bad: "),
    mirror("status that is no number", b"HTTP/1.1 abc OK\r\n\r\n", "/bad: "),
    mirror("ten thousand headers", OK + b"a: b\r\n" * 10_000 + b"\r\n", "/bad: "),
    mirror("header without an end", OK + b"a: " + b"b" * 100_000, "/bad: "),
    mirror("chunk that is no number", OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", "/bad: "),
    mirror(
        "lengths that differ", OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx", "/bad: "
    ),
    mirror("dripping status", drip(b"HTTP/1.1 2"), "no answer in time"),
    mirror("dripping header", drip(OK + b"X: "), "no answer in time"),
    mirror("endless headers", drip(OK, b"a: b\r\n"), "no answer in time"),
    mirror("dripping body", drip(OK + b"Content-Length: 99999\r\n\r\n"), "bytes a second"),
    mirror(
        "dripping chunk size",
        drip(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
        "no answer in time",
    ),
    mirror("wait of a year", answer(status="503 Busy", retry_after="31536000"), "HTTP 503"),
    mirror("wait without a number", answer(status="503 Busy", retry_after="soon"), "HTTP 503"),
    mirror("web page", answer(PAGE), "wrong checksum", "a web page"),
    mirror("escape in the status", answer(status="404 \x1b[31mRed"), "HTTP 404 ?[31mRed"),
    mirror("address without an end", "http://[::1", "http://[::1: "),
    mirror("address without a host", "http:///set.zip", "http:///set.zip: "),
    mirror("file that is not there", "/none/set.zip", "no such file"),
    mirror("file of a user who is not there", "~nobody-of-that-name/set.zip", "cannot be read"),
    mirror("file with a name that is too long", "/" + "x" * 300, "cannot be read"),
    unlisted("page for a file", answer(PAGE, content_type="text/html"), "a web page"),
    unlisted(
        "page that says it is a file", answer(PAGE, content_type="application/zip"), "a web page"
    ),
    unlisted("XML for a file", answer(b'<?xml version="1.0"?><Error/>'), "a web page or XML"),
    unlisted("JSON for a file", answer(b'{"error": "expired"}'), "JSON"),
    unlisted("words for a file", answer(b"quota exceeded", content_type="text/plain"), "a text"),
    unlisted("empty file", answer(), "an empty file"),
]
test_fault = table.test_of(FAULTS)


def test_a_page_is_not_noted_and_the_right_file_is_taken_later(tmp_path):
    target = tmp_path / "set.zip"
    with (
        serving({"": answer(PAGE, content_type="text/html")}) as (address, _),
        pytest.raises(InputError, match="a web page"),
    ):
        download([f"{address}/set.zip"], target, None, patience=HURRIED)
    assert list(tmp_path.iterdir()) == []
    with serving({"": answer(CONTENT)}) as (address, _):
        download([f"{address}/set.zip"], target, None, patience=HURRIED)
    assert target.read_bytes() == CONTENT


def test_a_folder_in_place_of_the_file_is_named(tmp_path):
    target = tmp_path / "set.zip"
    (target / "mine").mkdir(parents=True)
    with (
        serving({"": answer(CONTENT)}) as (address, _),
        pytest.raises(InputError, match="A folder is in place of the file"),
    ):
        download([f"{address}/set.zip"], target, SUM, patience=HURRIED)
    assert (target / "mine").is_dir()


def test_a_stream_without_end_ends_at_the_size_that_is_known(tmp_path):
    target = Path(tmp_path, "set.zip")
    endless = drip(OK + b"\r\n", b"x" * 65536)
    with (
        serving({"": endless}) as (address, _),
        pytest.raises(InputError, match="more than the 5000 bytes"),
    ):
        download([f"{address}/set.zip"], target, None, size=5000, patience=HURRIED)
