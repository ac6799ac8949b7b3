"""Downloads from a real HTTP server on this machine, which misbehaves on request."""

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from actionrec.errors import InputError
from actionrec.sources.download import Patience, download
from actionrec.utils import checksums

CONTENT = np.random.default_rng(1).integers(0, 256, 700_001, dtype=np.uint8).tobytes()
HURRIED = Patience(connect=1, read=0.5, attempts=3, pause=0.01)


CUT = 300_000


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Site:
    """What the server gives under its one address, and what it was asked."""

    content: bytes = CONTENT
    etag: str | None = '"v1"'
    ranges: bool = True
    statuses: list[int] = field(default_factory=list)  # of the first answers
    cuts: list[int] = field(default_factory=list)  # bytes after which the first answers break off
    stall: bool = False  # instead of breaking off
    slow: float = 0.0  # seconds after each 10 kB
    length: int | None = None  # stated in place of the true one
    shift: int = 0  # between the part asked for and the part sent
    headers: dict[str, str] = field(default_factory=dict)
    location: str = ""  # where the content is instead
    paths: list[str] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    address: str = ""


class Handler(BaseHTTPRequestHandler):
    def __init__(self, site: Site, *arguments) -> None:
        self.site = site
        super().__init__(*arguments)

    def log_message(self, *_arguments) -> None:
        pass

    def do_GET(self) -> None:
        site = self.site
        site.requests.append(dict(self.headers))
        site.paths.append(self.path)
        if site.location:
            self.send_response(302)
            self.send_header("Location", site.location)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        status = site.statuses.pop(0) if site.statuses else 200
        if status != 200:
            return self.refuse(status)
        start = self.asked_start()
        if start > 0 and start >= len(site.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(site.content)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(206 if start else 200)
        stated = len(site.content) - start if site.length is None else site.length
        self.send_header("Content-Length", str(stated))
        for name, value in site.headers.items():
            self.send_header(name, value)
        if start:
            start, size = start + site.shift, len(site.content)
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        if site.etag:
            self.send_header("ETag", site.etag)
        self.end_headers()
        self.send_body(site.content[start:])

    def refuse(self, status: int) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "0", **self.site.headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def asked_start(self) -> int:
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not match or not self.site.ranges:
            return 0
        condition = self.headers.get("If-Range", self.site.etag)
        return int(match[1]) if condition == self.site.etag else 0

    def send_body(self, body: bytes) -> None:
        end = self.site.cuts.pop(0) if self.site.cuts else None
        for offset in range(0, len(body[:end]), 10_000):
            self.wfile.write(body[:end][offset : offset + 10_000])
            time.sleep(self.site.slow)
        if end is not None and self.site.stall:
            time.sleep(2)
        elif end is not None or self.site.length is not None:
            self.connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def serve() -> Iterator:
    servers = []

    def start(**options) -> Site:
        site = Site(**options)
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, site))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        site.address = f"http://127.0.0.1:{server.server_port}/set.rar"
        return site

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "archives" / "set.rar"


def fetch(target: Path, *sites: Site | str, content: bytes = CONTENT) -> None:
    urls = [site if isinstance(site, str) else site.address for site in sites]
    download(urls, target, sha(content), patience=HURRIED)


def fetched(target: Path) -> bool:
    """Tell whether the target is whole, and nothing else is there but the note of its checksum."""
    there = sorted(path.name for path in target.parent.iterdir())
    return there == [target.name, f"{target.name}.sha256"] and target.read_bytes() == CONTENT


def ranges(site: Site) -> list[str | None]:
    return [request.get("Range") for request in site.requests]


def part_of(target: Path) -> Path:
    return target.with_name("set.rar.part")


def test_downloads_and_publishes(serve, target):
    site = serve()
    fetch(target, site)
    assert fetched(target) and ranges(site) == [None]


def test_replaces_what_was_there(serve, target):
    target.parent.mkdir()
    target.write_bytes(b"old")
    fetch(target, serve())
    assert fetched(target)


def test_checksum_may_be_in_capitals(serve, target):
    download([serve().address], target, sha(CONTENT).upper())
    assert fetched(target)


def test_cut_connection_resumes_where_it_stopped(serve, target):
    site = serve(cuts=[CUT, 100_000])
    fetch(target, site)
    assert fetched(target)
    assert ranges(site) == [None, f"bytes={CUT}-", f"bytes={CUT + 100_000}-"]
    assert site.requests[1]["If-Range"] == '"v1"'


def test_more_cuts_than_attempts_are_fine_while_bytes_come(serve, target):
    fetch(target, serve(cuts=[50_000] * 8))
    assert fetched(target)


def test_server_without_ranges_starts_again(serve, target):
    site = serve(cuts=[CUT], ranges=False)
    fetch(target, site)
    assert fetched(target) and len(site.requests) == 2


def test_stalled_server_is_left_and_asked_again(serve, target):
    site = serve(cuts=[CUT], stall=True)
    fetch(target, site)
    assert fetched(target) and ranges(site) == [None, f"bytes={CUT}-"]


def test_server_that_never_answers_does_not_hang(target):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(InputError, match="no answer in time"):
            fetch(target, f"http://127.0.0.1:{silent.getsockname()[1]}/set.rar")
    assert time.monotonic() - started < 10


def test_passing_errors_are_retried(serve, target):
    site = serve(statuses=[503, 429])
    fetch(target, site)
    assert fetched(target) and len(site.requests) == 3


def test_lasting_errors_go_to_the_mirror_at_once(serve, target):
    first, second = serve(statuses=[404]), serve()
    fetch(target, first, second)
    assert fetched(target)
    assert len(first.requests) == len(second.requests) == 1


def test_all_failures_are_named_with_the_manual_way(serve, target):
    gone, broken = serve(statuses=[404]), serve(statuses=[500] * 3)
    with pytest.raises(InputError) as caught:
        fetch(target, gone, broken, "http://127.0.0.1:1/set.rar", "s3://bucket/set.rar")
    message = str(caught.value)
    assert f"{gone.address}: HTTP 404" in message
    assert f"{broken.address}: HTTP 500" in message
    assert (
        "no connection, [Errno 111] Connection refused" in message
        and "s3://bucket/set.rar: " in message
    )
    assert f"put the file at {target} yourself" in message and sha(CONTENT) in message
    assert message.count("HTTPS_PROXY") == 1 and message.count("correct the address") == 1
    assert not target.exists()


def test_a_server_that_refuses_is_no_fault_of_the_network(serve, target):
    with pytest.raises(InputError) as caught:
        fetch(target, serve(statuses=[403]))
    assert "renew the token or signature in it" in str(caught.value)
    assert "HTTPS_PROXY" not in str(caught.value)


def test_wrong_checksum_is_not_published(serve, target):
    site = serve(content=b"something else")
    with pytest.raises(InputError) as caught:
        fetch(target, site)
    message = str(caught.value)
    assert f"{site.address}: wrong checksum" in message
    assert f"expected {sha(CONTENT)}, found {sha(b'something else')}" in message
    assert f"put the file at {target} yourself" in message
    assert "correct its sha256" in message and "HTTPS_PROXY" not in message
    assert not list(target.parent.iterdir())


def test_wrong_checksum_goes_to_the_mirror(serve, target):
    fetch(target, serve(content=b"something else"), serve())
    assert fetched(target)


def test_file_that_changed_between_two_requests_starts_again(serve, target):
    site = serve(content=CONTENT[::-1], cuts=[CUT] * 3, stall=False)
    with pytest.raises(InputError):
        download([site.address], target, sha(CONTENT), patience=Patience(1, 1, 1, 0.01))
    assert part_of(target).stat().st_size == CUT
    site.content, site.etag, site.cuts = CONTENT, '"v2"', []
    fetch(target, site)
    assert fetched(target)
    assert ranges(site)[-1] == f"bytes={CUT}-" and len(site.requests) == 2


@pytest.mark.parametrize("have", [CONTENT[:500_000][::-1], CONTENT + b"more", CONTENT[::-1]])
def test_foreign_part_is_given_up(serve, target, have):
    """Without a validator only the checksum shows that the bytes there are wrong."""
    target.parent.mkdir()
    part_of(target).write_bytes(have)
    site = serve(etag=None)
    fetch(target, site)
    assert fetched(target) and ranges(site)[-1] is None


def test_whole_part_needs_no_byte(serve, target):
    target.parent.mkdir()
    part_of(target).write_bytes(CONTENT)
    site = serve()
    fetch(target, site)
    assert fetched(target) and ranges(site) == [f"bytes={len(CONTENT)}-"]


def test_mirror_continues_what_the_first_began(serve, target):
    first, second = serve(cuts=[CUT], statuses=[200, 404]), serve(etag='"other"')
    fetch(target, first, second)
    assert fetched(target) and ranges(second) == [f"bytes={CUT}-"]
    assert "If-Range" not in second.requests[0]


@pytest.mark.parametrize("as_url", [False, True])
def test_local_file(tmp_path, target, as_url):
    source = tmp_path / "a set [1] #2.rar"
    source.write_bytes(CONTENT)
    fetch(target, source.as_uri() if as_url else str(source))
    assert fetched(target) and source.read_bytes() == CONTENT
    assert target.is_symlink(), "gigabytes are not copied"


def test_local_file_of_another_sum_is_spared(tmp_path, serve, target):
    source = tmp_path / "mine.rar"
    source.write_bytes(b"mine")
    fetch(target, str(source), serve())
    assert fetched(target) and not target.is_symlink() and source.read_bytes() == b"mine"


def test_missing_local_file(tmp_path, target):
    with pytest.raises(InputError, match="no such file"):
        fetch(target, str(tmp_path / "none.rar"))


def test_no_url(target):
    with pytest.raises(InputError, match="no URL"):
        fetch(target)


# Servers that lie


def test_server_that_promises_more_than_it_has(serve, target):
    """The part looks cut off, but when asked for the rest the server has none."""
    site = serve(length=len(CONTENT) + 5000)
    fetch(target, site)
    assert fetched(target) and ranges(site) == [None, f"bytes={len(CONTENT)}-"]


def test_server_that_promises_less_than_it_has(serve, target):
    with pytest.raises(InputError, match="wrong checksum"):
        fetch(target, serve(length=50_000))
    fetch(target, serve(length=50_000), serve())
    assert fetched(target)


def test_server_that_sends_another_part_than_asked_for(serve, target):
    site = serve(cuts=[CUT], shift=-1000)
    fetch(target, site)
    assert fetched(target) and ranges(site) == [None, f"bytes={CUT}-", None]


def test_server_that_calls_its_bytes_compressed(serve, target):
    fetch(target, serve(headers={"Content-Encoding": "gzip"}))
    assert fetched(target)


def test_server_that_drips_is_as_good_as_silent(serve, target):
    patience = Patience(connect=1, read=0.3, attempts=2, pause=0.01, rate=10**6)
    with pytest.raises(InputError, match="bytes a second"):
        download([serve(slow=0.1).address], target, sha(CONTENT), patience=patience)
    download([serve(slow=0.1).address, serve().address], target, sha(CONTENT), patience=patience)
    assert fetched(target)


def test_server_that_says_when_to_come_again(serve, target):
    site = serve(statuses=[429, 503], headers={"Retry-After": "1"})
    started = time.monotonic()
    fetch(target, site)
    assert fetched(target) and 2 <= time.monotonic() - started < 10
    patient = Patience(connect=1, read=1, attempts=2, longest=0.1)
    site = serve(statuses=[503], headers={"Retry-After": "86400"})
    download([site.address], target, sha(CONTENT), patience=patient)
    assert len(site.requests) == 2


# Redirects and proxies


def test_redirects_are_followed_and_the_rest_is_asked_of_the_same_place(serve, target):
    store = serve(cuts=[CUT])
    front = serve(location=store.address + "?signature=secret")
    fetch(target, front)
    assert fetched(target)
    assert ranges(front) == ranges(store) == [None, f"bytes={CUT}-"]


def test_redirects_in_a_circle(serve, target):
    first, mirror = serve(), serve()
    first.location = first.address
    with pytest.raises(InputError, match="redirects"):
        fetch(target, first)
    fetch(target, first, mirror)
    assert fetched(target)


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1/set.rar", "/etc/passwd"])
def test_redirects_do_not_lead_to_files_of_this_machine(serve, target, place):
    with pytest.raises(InputError):
        fetch(target, serve(location=place))
    assert not target.exists() and not part_of(target).exists()


@pytest.fixture
def proxy(serve, monkeypatch) -> Site:
    """Return a proxy, named by the environment, that answers every request itself."""
    site = serve()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("http_proxy", site.address.removesuffix("/set.rar"))
    return site


def test_the_proxy_of_the_environment_is_used(proxy, target):
    fetch(target, "http://archives.invalid/set.rar")
    assert fetched(target) and proxy.paths == ["http://archives.invalid/set.rar"]


def test_hosts_without_proxy_are_asked_directly(proxy, serve, target, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    site = serve()
    fetch(target, site)
    assert fetched(target) and proxy.paths == [] and len(site.paths) == 1


def test_proxy_that_is_not_there(proxy, target, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://me:secret@127.0.0.1:1")
    with pytest.raises(InputError) as caught:
        fetch(target, "http://archives.invalid/set.rar")
    assert "the proxy does not answer" in str(caught.value) and "secret" not in str(caught.value)


def test_without_a_network_the_manual_way_is_named(target):
    with pytest.raises(InputError) as caught:
        fetch(target, "http://archives.invalid/set.rar")
    message = str(caught.value)
    assert "http://archives.invalid/set.rar: no connection" in message
    assert "HTTPS_PROXY" in message and f"put the file at {target} yourself" in message


def test_no_message_holds_a_secret(serve, target, caplog):
    site = serve(statuses=[503, 404])
    address = site.address.replace("http://", "http://me:password@") + "?token=hidden"
    with pytest.raises(InputError) as caught:
        fetch(target, address)
    assert site.address in str(caught.value)
    for secret in ("password", "hidden"):
        assert secret not in str(caught.value) + caplog.text
    site.cuts, site.statuses = [CUT], [200, 404]
    with pytest.raises(InputError):
        fetch(target, address)
    assert part_of(target).stat().st_size == CUT
    assert all(b"hidden" not in path.read_bytes() for path in target.parent.iterdir())


# Files whose checksum nobody published


def test_the_first_checksum_is_logged_recorded_and_holds(serve, target, caplog):
    download([serve().address], target, None, patience=HURRIED)
    assert fetched(target)
    assert f"No checksum of {target} is known. This one has sha256 {sha(CONTENT)}" in caplog.text
    check = ["sha256sum", "--check", f"{target.name}.sha256"]
    assert subprocess.run(check, cwd=target.parent, capture_output=True).returncode == 0
    target.unlink()
    other = serve(content=b"something else")
    with pytest.raises(InputError) as caught:
        download([other.address], target, None, patience=HURRIED)
    assert f"sha256 as the first time, {sha(CONTENT)}" in str(caught.value)
    assert f"was changed on purpose, delete {target}.sha256 and run the same" in str(caught.value)
    target.with_name("set.rar.sha256").unlink()
    download([other.address], target, None, patience=HURRIED)
    assert target.read_bytes() == b"something else"


def test_a_file_put_there_by_hand_is_checked_once(target, monkeypatch):
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    checksums.verify(target, sha(CONTENT).upper())
    monkeypatch.setattr(checksums, "sha256", None)  # must not be read again
    checksums.verify(target, sha(CONTENT))
    with pytest.raises(InputError, match="another checksum than expected"):
        checksums.verify(target, sha(b"other"))


def test_a_file_that_was_replaced_is_checked_again(serve, target):
    fetch(target, serve())
    target.write_bytes(CONTENT[::-1])
    with pytest.raises(InputError) as caught:
        checksums.verify(target, sha(CONTENT))
    assert f"found:   sha256 {sha(CONTENT[::-1])}" in str(caught.value)
    target.write_bytes(CONTENT)
    checksums.verify(target, sha(CONTENT))
    target.unlink()
    with pytest.raises(InputError, match="no such file"):
        checksums.verify(target, sha(CONTENT))


KILLED = """
import sys
from pathlib import Path
from actionrec.sources.download import download
download([sys.argv[1]], Path(sys.argv[2]), sys.argv[3])
"""


def test_killed_download_is_resumed(serve, target, repository):
    site = serve(slow=0.02)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, site.address, str(target), sha(CONTENT)],
        env={**os.environ, "PYTHONPATH": str(repository / "workflow" / "scripts")},
    )
    while not (part_of(target).exists() and part_of(target).stat().st_size):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    have = part_of(target).stat().st_size
    assert 0 < have < len(CONTENT) and not target.exists()
    site.slow = 0
    fetch(target, site)
    assert fetched(target) and ranges(site)[-1] == f"bytes={have}-"


def test_no_bar_where_there_is_no_terminal(serve, target, repository):
    site = serve()
    done = subprocess.run(
        [sys.executable, "-c", KILLED, site.address, str(target), sha(CONTENT)],
        env={**os.environ, "PYTHONPATH": str(repository / "workflow" / "scripts")},
        capture_output=True,
        check=True,
    )
    assert done.stdout + done.stderr == b""


@pytest.fixture
def small_disk(mount_disk):
    """Return a memory disk of 400 KiB."""
    return mount_disk("size=400k")


def test_full_disk_keeps_what_came_for_the_next_time(serve, small_disk):
    site, target = serve(), small_disk / "set.rar"
    with pytest.raises(InputError, match="The disk is full"):
        fetch(target, site)
    have = part_of(target).stat().st_size
    assert have > 300_000
    subprocess.run(["mount", "-o", "remount,size=2m", str(small_disk)], check=True)
    fetch(target, site)
    assert fetched(target) and ranges(site)[-1] == f"bytes={have}-"
