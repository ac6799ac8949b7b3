"""NGC: keys that no header can carry, answers of another shape, refusals, lists without end."""

import base64
import hashlib
import json
import logging
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from actionrec.errors import InputError
from actionrec.sources.http import Patience
from actionrec.utils.rule_script import rule_script
from actionrec.weights import ngc
from faults import table
from faults.servers import Answer, answer, drip, of_json, serving
from faults.table import Fault, Scene

AREA = "NGC"
HURRIED = Patience(connect=0.5, read=0.5, attempts=2, pause=0.01, longest=0.1)
MODEL = "nvidia/tao/m:v1"
FILES = "/v2/models/nvidia/tao/m/versions/v1/files"
WEIGHTS = b"PK\x03\x04 weights"
SECRET = "s3cret-of-mine"
SECONDS = 15


class Registry(Scene):
    """A model in the registry, asked for with the rule's own logging; older weights are there."""

    key: str | None = None
    answers: dict[str, Answer]

    def prepare(self) -> None:
        self.target = self.folder / "x.pth"
        (self.folder / "y.pth").write_bytes(b"older")
        entry = {"path": "x.pth", "sizeInBytes": len(WEIGHTS)}
        self.answers = {
            FILES: of_json({"modelFiles": [entry]}),
            f"{FILES}/x.pth": answer(WEIGHTS),
            "": answer(status="401 Unauthorized"),
        }
        for name in (*ngc.KEY_VARIABLES, "PATH"):
            self.monkeypatch.delenv(name, raising=False)

    def act(self) -> str:
        if self.key is not None:
            self.monkeypatch.setenv("NGC_API_KEY", self.key)
        log = self.folder / "rule.log"
        rule = SimpleNamespace(log=[str(log)], rule="download_pretrained")
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        began = time.monotonic()
        with serving(self.answers) as (address, _):
            self.monkeypatch.setenv("NGC_CLI_API_URL", address)
            self.monkeypatch.setenv("NGC_CLI_AUTH_URL", address)
            try:
                with rule_script(rule):
                    ngc.fetch(MODEL, "x.pth", self.target, patience=HURRIED)
            except SystemExit:
                assert not self.target.exists()
            finally:
                root.handlers[:], root.level = handlers, level
        assert time.monotonic() - began < SECONDS
        said = log.read_text() + self.request.getfixturevalue("capfd").readouterr().err
        assert SECRET not in said
        return said


def set_key(key: str) -> Callable[[Registry], object]:
    """Return an injection: NGC_API_KEY is this."""
    return lambda scene: setattr(scene, "key", key)


def list_as(content: Answer | object) -> Callable[[Registry], object]:
    """Return an injection: NGC's list of files is this, as bytes or as JSON."""
    sent = content if isinstance(content, bytes) or callable(content) else of_json(content)
    return lambda scene: scene.answers.update({FILES: sent})


def exchange_for(token: object) -> Callable[[Registry], object]:
    """Return an injection: a key of the older kind is exchanged for this."""

    def inject(scene: Registry) -> None:
        scene.key = f"old{SECRET}"
        scene.answers["/token"] = of_json(token)

    return inject


def of_key(fault: str, key: str, *seen: str) -> Fault:
    return Fault(fault, "set as NGC_API_KEY", Registry, set_key(key), seen)


def of_list(fault: str, content: object, *seen: str) -> Fault:
    return Fault(fault, "answered for the list of files", Registry, list_as(content), seen)


NO_KEY = "holds a character that no key has"
ODD = "NGC does not answer, or not as expected"
FAULTS = [
    of_key("key with a line break behind it", f"nvapi-{SECRET}\n", "NGC refuses the key"),
    of_key("key with a carriage return behind it", f"nvapi-{SECRET}\r", "NGC refuses the key"),
    of_key("key with a line break inside", f"nvapi-{SECRET}\nX: y", NO_KEY, "NGC_API_KEY"),
    of_key("key with a letter outside of Latin-1", f"nvapi-{SECRET}€", NO_KEY, "NGC_API_KEY"),
    of_key("older key with such a letter", f"{SECRET}€", NO_KEY, "NGC_API_KEY"),
    of_key("key with an accent", f"nvapi-{SECRET}é", NO_KEY),
    of_key("key with a space", f"nvapi-{SECRET} x", NO_KEY),
    of_key("key with an escape", f"nvapi-{SECRET}\x1b[0m", NO_KEY),
    Fault(
        "token with a line break",
        "given for an older key",
        Registry,
        exchange_for({"token": "a\nb"}),
        "not understood",
    ),
    Fault(
        "token outside of Latin-1",
        "given for an older key",
        Registry,
        exchange_for({"token": "€"}),
        "not understood",
    ),
    Fault(
        "token that is a number",
        "given for an older key",
        Registry,
        exchange_for({"token": 5}),
        ODD,
    ),
    Fault("no token", "given for an older key", Registry, exchange_for({}), ODD),
    of_list("list of texts", {"modelFiles": ["x"]}, ODD, "modelFiles.0"),
    of_list("number for a list", {"modelFiles": 7}, ODD),
    of_list("list for an answer", [1, 2], ODD),
    of_list("path that is a number", {"modelFiles": [{"path": 5}]}, ODD),
    of_list("size that is a text", {"modelFiles": [{"path": "x.pth", "sizeInBytes": "big"}]}, ODD),
    of_list(
        "checksum that is a number", {"modelFiles": [{"path": "x.pth", "sha256_base64": 5}]}, ODD
    ),
    of_list(
        "pages without a number", {"modelFiles": [], "paginationInfo": {"totalPages": "x"}}, ODD
    ),
    of_list("pages that are a list", {"modelFiles": [], "paginationInfo": [1]}, ODD),
    of_list(
        "a thousand million pages",
        {"modelFiles": [], "paginationInfo": {"totalPages": 10**9}},
        "1000000000 pages",
    ),
    of_list("no files", {"modelFiles": None}, "no such file"),
    of_list("nothing", answer(b""), ODD),
    of_list("page", answer(b"<html>"), ODD),
    of_list("deep JSON", answer(b"[" * 100_000), ODD),
    of_list("number of 6,000 digits", answer(b'{"modelFiles": ' + b"9" * 6000 + b"}"), ODD),
    of_list("half an answer", answer(b"{", content_length="99"), ODD),
    of_list(
        "answer without an end", drip(b"HTTP/1.1 200 OK\r\n\r\n", b" " * 2**20), ODD, "more than"
    ),
    of_list("dripping answer", drip(b"HTTP/1.1 200 OK\r\n\r\n", b" "), ODD),
    of_list("wait of a day", answer(status="429 Slow", retry_after="100000"), "HTTP 429"),
    of_list("redirect in a circle", answer(status="302 Found", location=FILES), ODD),
    of_list(
        "size of another file", {"modelFiles": [{"path": "x.pth", "sizeInBytes": 5}]}, "5 bytes"
    ),
]
test_fault = table.test_of(FAULTS)


@pytest.mark.parametrize("by", ["size", "checksum", "no list"])
def test_a_file_of_the_ngc_command_is_no_better_than_a_download(tmp_path, monkeypatch, by):
    command = tmp_path / "bin" / "ngc"
    command.parent.mkdir()
    command.write_text(
        "#!/bin/sh\n"
        'while [ "$1" != --dest ]; do shift; done\n'
        'mkdir "$2/m"; echo other > "$2/m/x.pth"\n'
    )
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:/usr/bin:/bin")
    entry: dict[str, object] = {"path": "x.pth", "sizeInBytes": len(WEIGHTS)}
    if by == "checksum":
        digest = hashlib.sha256(WEIGHTS).digest()
        entry = {"path": "x.pth", "sha256_base64": base64.b64encode(digest).decode()}
    answers = {FILES: of_json({"modelFiles": [entry]}), f"{FILES}/x.pth": answer(WEIGHTS)}
    target = tmp_path / "got" / "x.pth"
    with serving({} if by == "no list" else answers) as (address, _):
        monkeypatch.setenv("NGC_CLI_API_URL", address)
        if by == "no list":
            with pytest.raises(InputError, match="NGC has no such model"):
                ngc.fetch(MODEL, "x.pth", target, patience=HURRIED)
            assert not target.exists()
            return
        ngc.fetch(MODEL, "x.pth", target, patience=HURRIED)
    assert target.read_bytes() == WEIGHTS
    assert json.loads(target.with_name("x.pth.json").read_text())["by"] == "https"
