"""Secrets in addresses of a configuration are used, and are nowhere but in the user's own file."""

import base64
import http.server
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from actionrec.utils.files import sha256
from helpers import edit, small_project, snakemake

USER, PASSWORD, TOKEN = "user-of-mine", "my-pass-word-71", "aWe4signature%2Bof%2Fmine%3D"
ROWS = [
    f"{cls}/{cls} [{index}] & co.mp4 {label}"
    for label, cls in enumerate(("clap", "wave"))
    for index in range(4)
]
TEXTS = {"/list.txt": "\n".join(ROWS), "/labels.txt": "clap\nwave\n", "/start.pth": "weights"}


class Server(http.server.BaseHTTPRequestHandler):
    """Give texts to who sends the token or the password; their absence is an error, too."""

    def log_message(self, *_arguments) -> None:
        pass

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        known = (
            asked.query == f"X-Amz-Signature={TOKEN}"
            or self.headers["Authorization"] == f"Basic {basic}"
        )
        body = TEXTS.get(asked.path, "").encode()
        self.send_response(200 if known and body else 403)
        self.send_header("Content-Length", str(len(body) if known else 0))
        self.end_headers()
        self.wfile.write(body if known else b"")


@pytest.fixture(scope="module")
def site():
    """Yield host and port of the server."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def leaks(folder: Path) -> list[str]:
    """Return the files that hold a secret, but for the user's configuration."""
    texts = [secret.encode() for secret in (USER, PASSWORD, TOKEN, TOKEN.replace("%2B", "+"))]
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file()
        and path != folder / "config/config.yaml"
        and any(text in path.read_bytes() or text.decode() in path.name for text in texts)
    ]


def with_addresses(folder: Path, signed: str, named: str) -> Path:
    """Return a project with a secret in the address of its list, labels and weights."""
    folder = small_project(
        folder,
        lambda c: c["dataset"].update(
            source="table",
            path=f"{signed}/list.txt?X-Amz-Signature={TOKEN}",
            labels=f"{signed}/labels.txt?X-Amz-Signature={TOKEN}",
            videos="videos",
        ),
    )
    (folder / "start.pth").write_text(TEXTS["/start.pth"])
    start = {"url": f"{named}/start.pth", "sha256": sha256(folder / "start.pth")}
    experiments = {"rgb_2d": {"pretrained": start}}
    tracking = {"mlflow": f"{named}/mlflow?key={TOKEN}"}
    edit(
        folder / "config/config.yaml",
        lambda c: c.update(experiments=experiments, tracking=tracking),
    )
    return folder


TARGETS = (
    "results/small/tables/videos/clap.tsv",
    "resources/pretrained/small/rgb_2d.split1.rgb.pth",
)


@pytest.mark.slow
def test_a_run_uses_secrets_and_writes_none(tmp_path, site):
    named = f"http://{USER}:{PASSWORD}@{site}"
    folder = with_addresses(tmp_path / "project", f"http://{site}", named)
    said = snakemake(folder, "--cores", "2", "--printshellcmds", *TARGETS)
    assert "clap [1] & co.mp4" in (folder / TARGETS[0]).read_text()
    assert (folder / TARGETS[1]).read_text() == "weights"
    assert list((folder / ".snakemake/metadata").rglob("*")), "what is looked through"
    assert leaks(folder) == []
    for secret in (USER, PASSWORD, TOKEN):
        assert secret not in said


@pytest.mark.slow
@pytest.mark.thorough
def test_other_addresses_failed_downloads_and_reports_show_no_secret(tmp_path, site):
    named = f"http://{USER}:{PASSWORD}@{site}"
    folder = with_addresses(tmp_path / "project", f"http://{site}", named)
    snakemake(folder, "--cores", "2", *TARGETS)
    snakemake(folder, "--report", "report.html", *TARGETS)
    assert (folder / "report.html").exists() and leaks(folder) == []
    config = folder / "config/config.yaml"
    config.write_text(config.read_text().replace("/list.txt?X-Amz", "/list.txt?x-amz"))
    said = snakemake(folder, "-n", TARGETS[0])
    assert "rule fetch_list" in said, "another address is fetched again"
    assert f"http://{site}/list.txt?hidden-" in said and TOKEN not in said

    entry = {"file": "set.zip", "urls": [f"{named}/no.zip", f"http://{site}/a?s={TOKEN}"]}
    given = {"source": "archives", "path": None, "videos": None, "labels": None}
    edit(
        folder / "config/config.yaml",
        lambda c: c["dataset"].update(archives={"videos": entry}, **given),
    )
    said = snakemake(folder, "--cores", "2", "--show-failed-logs", TARGETS[0], check=False)
    assert f"http://{site}/no.zip: HTTP 403" in said
    assert leaks(folder) == []
    for secret in (USER, PASSWORD, TOKEN):
        assert secret not in said
