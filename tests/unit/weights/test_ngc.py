"""Weights from a server on this machine that answers, redirects and refuses as NGC does."""

import base64
import hashlib
import json
import os
import re
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
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from actionrec.errors import InputError
from actionrec.sources.http import CHUNK, Patience
from actionrec.weights import ngc
from helpers import clone, edit, snakemake

CONTENT = np.random.default_rng(5).integers(0, 256, 300_007, dtype=np.uint8).tobytes()
SUM = hashlib.sha256(CONTENT)
TARGET = "nvidia/tao/actionrecognitionnet:trainable_v1.0"
FILE = "resnet18_3d_rgb_hmdb5_32.tlt"
KEY = "nvapi-a-key-that-nobody-may-see"
OLD_KEY = "b2xkLXN0eWxlLWtleQ"
TOKEN = "eyJhbGciOi.exchanged.token"
HURRIED = Patience(connect=1, read=0.5, attempts=3, pause=0.01)
VERSIONS = [
    {
        "versionId": "trainable_v1.0",
        "accuracyReached": 88.0,
        "numberOfEpochs": 120,
        "gpuModel": "V100",
        "totalFileCount": 2,
        "totalSizeInBytes": 426_260_000,
        "status": "UPLOAD_COMPLETE",
        "createdDate": "2021-11-23T09:00:00.000Z",
    },
    {"versionId": "deployable_v1.0", "totalSizeInBytes": 170_330_000},
]


@dataclass
class Registry:
    """What the server has, how it misbehaves, and what it was asked: (host, path, headers)."""

    content: bytes = CONTENT
    listed: dict = field(default_factory=lambda: {"sizeInBytes": len(CONTENT)})
    private: bool = False  # wants a key
    allowed: bool = True  # the key may see the model
    refusal: int | None = None  # of every request
    statuses: list[int] = field(default_factory=list)  # of the first answers of the storage
    cuts: list[int] = field(default_factory=list)  # bytes after which its answers break off
    stall: bool = False  # instead of breaking off
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    api: str = ""
    storage: str = ""


class Handler(BaseHTTPRequestHandler):
    def __init__(self, site: Registry, host: str, *arguments) -> None:
        self.site, self.host = site, host
        super().__init__(*arguments)

    def log_message(self, *_arguments) -> None:
        pass

    def do_GET(self) -> None:
        self.site.asked.append((self.host, self.path, dict(self.headers)))
        if self.host == "storage":
            return self.send_content()
        if self.site.refusal:
            return self.send_error(self.site.refusal)
        address = urlsplit(self.path)
        if address.path == "/token":
            return self.send_token(parse_qs(address.query))
        if self.site.private and not self.signed():
            return self.send_error(401)
        if not self.site.allowed:
            return self.send_error(403)
        versions = re.fullmatch(
            r"/v2/(models/nvidia/tao|org/nvidia/team/tao/models)/actionrecognitionnet/versions(.*)",
            address.path,
        )
        if not versions:
            return self.send_error(404)
        if versions[2] == "":
            page = int(parse_qs(address.query)["page-number"][0])
            pages = {"totalPages": len(VERSIONS)}
            return self.send_json({"modelVersions": [VERSIONS[page]], "paginationInfo": pages})
        if versions[2] == "/trainable_v1.0/files":
            files = [{"path": "labels.txt"}, {"path": FILE, **self.site.listed}]
            return self.send_json({"modelFiles": files})
        if versions[2] == f"/trainable_v1.0/files/{FILE}":
            self.send_response(302)
            self.send_header("Location", f"{self.site.storage}/{FILE}?X-Amz-Signature=abc")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_error(404)

    def signed(self) -> bool:
        return self.headers.get("Authorization") in (f"Bearer {KEY}", f"Bearer {TOKEN}")

    def send_token(self, query: dict[str, list[str]]) -> None:
        given = base64.b64encode(f"$oauthtoken:{OLD_KEY}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {given}":
            return self.send_error(401)
        assert query["scope"] == ["group/ngc:nvidia", "group/ngc:nvidia/tao"]
        self.send_json({"token": TOKEN})

    def send_json(self, answer: dict) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_content(self) -> None:
        status = self.site.statuses.pop(0) if self.site.statuses else 200
        if status != 200:
            return self.send_error(status)
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        body = self.site.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        if start:
            size = len(self.site.content)
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("ETag", '"v1"')
        self.end_headers()
        end = self.site.cuts.pop(0) if self.site.cuts else None
        self.wfile.write(body[:end])
        if end is not None and self.site.stall:
            time.sleep(2)
        elif end is not None:
            self.connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def site(monkeypatch, tmp_path) -> Iterator[Registry]:
    """Return a registry and its storage, two hosts; no `ngc` command, no key in the environment."""
    registry = Registry()
    servers = []
    for host, address in (("api", "127.0.0.1"), ("storage", "localhost")):
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, registry, host))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        setattr(registry, host, f"http://{address}:{server.server_port}")
    monkeypatch.setenv("NGC_CLI_API_URL", registry.api)
    monkeypatch.setenv("NGC_CLI_AUTH_URL", registry.api)
    for name in ("NGC_API_KEY", "NGC_CLI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    yield registry
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "ngc" / "nvidia" / FILE


def fetch(target: Path, checksum: str | None = None) -> None:
    ngc.fetch(TARGET, FILE, target, checksum, patience=HURRIED)


def refusal(target: Path, checksum: str | None = None) -> str:
    """Return the message of a fetch that must fail and leave no file."""
    with pytest.raises(InputError) as caught:
        fetch(target, checksum)
    assert not target.exists()
    return str(caught.value)


def listed(digest: bytes, size: int = len(CONTENT)) -> dict:
    return {"sizeInBytes": size, "sha256_base64": base64.b64encode(digest).decode()}


def test_public_model_comes_without_a_key_and_is_recorded(site, target):
    fetch(target)
    assert target.read_bytes() == CONTENT
    record = json.loads(target.with_name(f"{FILE}.json").read_text())
    assert record == {
        "model": TARGET,
        "file": FILE,
        "bytes": len(CONTENT),
        "sha256": SUM.hexdigest(),
        "by": "https",
    }
    assert all(path.startswith("/v2/models/nvidia/tao/") for _, path, _ in site.asked[:-1])
    assert not any("Authorization" in headers for _, _, headers in site.asked)


@pytest.mark.parametrize(("key", "token"), [(KEY, KEY), (OLD_KEY, TOKEN)])
def test_the_key_signs_what_goes_to_ngc_and_nothing_else(
    site, target, monkeypatch, caplog, key, token
):
    site.private = True
    monkeypatch.setenv("NGC_API_KEY", key)
    caplog.set_level("DEBUG")
    fetch(target)
    assert target.read_bytes() == CONTENT
    api = [(path, h.get("Authorization")) for host, path, h in site.asked if host == "api"]
    assert api[-1][0].startswith("/v2/org/nvidia/team/tao/models/actionrecognitionnet/")
    assert api[-1][1] == f"Bearer {token}"
    assert [h.get("Authorization") for host, _, h in site.asked if host == "storage"] == [None]
    kept = "".join(p.read_text(errors="replace") for p in target.parent.iterdir())
    assert key not in kept + caplog.text and token not in kept + caplog.text


def test_without_the_key_that_is_wanted_the_message_says_where_to_make_one(site, target):
    site.private = True
    message = refusal(target)
    assert "HTTP 401" in message and "export NGC_API_KEY" in message and ngc.KEY_PAGE in message


@pytest.mark.parametrize("status", ["wrong key", "no access"])
def test_a_refused_key_is_not_repeated_in_the_message(site, target, monkeypatch, status):
    site.private, site.allowed = True, status == "wrong key"
    key = "nvapi-another-secret" if status == "wrong key" else KEY
    monkeypatch.setenv("NGC_API_KEY", key)
    message = refusal(target)
    assert f"HTTP {401 if status == 'wrong key' else 403}" in message
    assert "NGC_API_KEY" in message and key not in message


def test_unknown_version_is_told_with_the_command_that_lists_them(site, target):
    with pytest.raises(InputError, match=r"snakemake ngc_models"):
        ngc.fetch(TARGET.replace("v1.0", "v9.9"), FILE, target, patience=HURRIED)


def test_terms_that_are_not_accepted_yet(site, target):
    site.refusal = 412
    assert "terms" in refusal(target)


def test_unknown_file_is_told_with_those_there_are(site, target):
    with pytest.raises(InputError) as caught:
        ngc.fetch(TARGET, FILE.replace("hmdb5", "hmdb51"), target, patience=HURRIED)
    assert f"did you mean '{FILE}'?" in str(caught.value)


def test_cut_connection_goes_on_where_it_stopped(site, target):
    site.cuts = [4 * CHUNK]
    fetch(target)
    assert target.read_bytes() == CONTENT
    ranges = [h.get("Range") for host, _, h in site.asked if host == "storage"]
    assert ranges == [None, f"bytes={4 * CHUNK}-"]


def test_stalled_storage_is_left_and_asked_again(site, target):
    site.cuts, site.stall = [4 * CHUNK], True
    fetch(target)
    assert target.read_bytes() == CONTENT


def test_an_address_that_ran_out_is_no_success(site, target):
    site.statuses = [403]
    message = refusal(target)
    assert "HTTP 403" in message and "X-Amz-Signature" not in message


def test_wrong_length_is_not_published(site, target):
    site.content = CONTENT[:-1]
    assert f"expected {len(CONTENT)} bytes, found {len(CONTENT) - 1}" in refusal(target)


def test_the_listed_checksum_holds(site, target):
    site.listed = listed(SUM.digest())
    fetch(target)
    target.unlink()
    site.listed = listed(bytes(32))
    assert f"wrong checksum: expected {'00' * 32}, found {SUM.hexdigest()}" in refusal(target)


def test_the_configured_checksum_holds_before_the_listed_one(site, target):
    site.listed = listed(bytes(32))
    fetch(target, SUM.hexdigest())
    target.unlink()
    assert f"expected {'11' * 32}" in refusal(target, "11" * 32)


def test_a_registry_that_never_answers_does_not_hang(target, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("NGC_CLI_API_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        assert "NGC does not answer" in refusal(target)
        assert time.monotonic() - started < 10


def test_versions_are_listed_page_by_page(site):
    table = ngc.versions_table([ngc.ACTION_RECOGNITION], patience=HURRIED)
    lines = table.splitlines()
    assert lines[0] == "nvidia/tao/actionrecognitionnet"
    assert lines[1].split() == list(ngc.COLUMNS)
    assert lines[2].split()[:5] == ["trainable_v1.0", "2", "426.3", "MB", "2021-11-23"]
    assert lines[3].startswith("deployable_v1.0")


COMMAND = """#!{python}
import os, pathlib, sys
pathlib.Path({log!r}).write_text(" ".join(sys.argv[1:]) + os.environ.get("NGC_CLI_API_KEY", ""))
print("key:", os.environ.get("NGC_CLI_API_KEY"))
if sys.argv[3] == "list":
    print("| trainable_v1.0 |")
else:
    folder = pathlib.Path(sys.argv[sys.argv.index("--dest") + 1], "net_vtrainable_v1.0")
    folder.mkdir()
    (folder / sys.argv[-1]).write_bytes(b"by the command")
sys.exit({code})
"""


def install_command(folder: Path, monkeypatch, code: int = 0) -> Path:
    log = folder / "ngc.log"
    (folder / "bin").mkdir()
    command = folder / "bin" / "ngc"
    command.write_text(COMMAND.format(python=sys.executable, log=str(log), code=code))
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    return log


def test_the_ngc_command_is_used_where_it_is_installed(site, target, tmp_path, monkeypatch, caplog):
    log = install_command(tmp_path, monkeypatch)
    monkeypatch.setenv("NGC_API_KEY", KEY)
    caplog.set_level("DEBUG")
    site.listed = listed(hashlib.sha256(b"by the command").digest(), len(b"by the command"))
    fetch(target)
    assert target.read_bytes() == b"by the command"
    assert {host for host, _, _ in site.asked} == {"api"}, "the list alone"
    assert sorted(p.name for p in target.parent.iterdir()) == [FILE, f"{FILE}.json"]
    assert f"registry model download-version {TARGET} --dest" in log.read_text()
    assert "key: ***" in caplog.text and KEY not in caplog.text
    assert "| trainable_v1.0 |" in ngc.versions_table([ngc.ACTION_RECOGNITION])


@pytest.mark.parametrize("by", ["size", "sha256"])
def test_a_file_by_the_ngc_command_is_compared_with_the_list_of_ngc(
    site, target, tmp_path, monkeypatch, by
):
    install_command(tmp_path, monkeypatch)
    of_list = listed(SUM.digest())
    site.listed = {key: of_list[key] for key in of_list if key.startswith(by)}
    fetch(target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("failure", ["exit code", "checksum"])
def test_https_is_the_way_where_the_command_fails(site, target, tmp_path, monkeypatch, failure):
    install_command(tmp_path, monkeypatch, code=int(failure == "exit code"))
    fetch(target, SUM.hexdigest())
    assert target.read_bytes() == CONTENT
    assert json.loads(target.with_name(f"{FILE}.json").read_text())["by"] == "https"


@pytest.mark.slow
def test_the_workflow_fetches_from_ngc_and_lists_it(site, tmp_path, monkeypatch):
    folder = clone(tmp_path / "clone")
    source = {"ngc": TARGET, "file": FILE, "sha256": SUM.hexdigest()}

    def choose(config):
        config["experiments"]["rgb_3d_ptm"]["pretrained"] = source

    edit(folder / "config" / "config.yaml", choose)
    monkeypatch.setenv("NGC_API_KEY", KEY)
    weights = "resources/pretrained/demo/rgb_3d_ptm.split1.rgb.pth"
    snakemake(folder, "--cores", "1", weights)
    assert (folder / weights).read_bytes() == CONTENT
    assert "trainable_v1.0" in snakemake(folder, "--cores", "1", "ngc_models")
    said = subprocess.run(["grep", "-rl", KEY, str(folder)], capture_output=True, text=True)
    assert said.stdout == ""
