"""Where the weights of an experiment are fetched from."""

import hashlib
import http.server
import threading

import pytest

from actionrec.config.models.experiments import TORCHVISION
from actionrec.errors import InputError
from actionrec.experiments import pretrained

CONTENT = b"weights"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Serve a folder in place of PyTorch's model site; return the folder."""
    folder = tmp_path / "models"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/"
    monkeypatch.setattr(pretrained, "PYTORCH_SITE", address)
    yield folder
    server.shutdown()
    server.server_close()


def test_files_of_pytorch_are_checked_by_the_digits_in_their_names(site, tmp_path, monkeypatch):
    digits = hashlib.sha256(CONTENT).hexdigest()[:8]
    monkeypatch.setitem(TORCHVISION, "r3d_18", f"r3d_18-{digits}.pth")
    (site / f"r3d_18-{digits}.pth").write_bytes(CONTENT)
    target = tmp_path / "a.pth"
    pretrained.fetch({"torchvision": "r3d_18"}, [], target)
    assert target.read_bytes() == CONTENT


def test_another_file_of_that_name_is_refused(site, tmp_path):
    (site / TORCHVISION["r3d_18"]).write_bytes(CONTENT)
    with pytest.raises(InputError, match="wrong checksum: expected b3b3357e"):
        pretrained.fetch({"torchvision": "r3d_18"}, [], tmp_path / "a.pth")
    assert not (tmp_path / "a.pth").exists()


def test_every_file_of_pytorch_tells_eight_digits():
    for name, file in TORCHVISION.items():
        stem, _, digits = file.removesuffix(".pth").rpartition("-")
        assert stem == name
        assert len(digits) == 8
        int(digits, 16)
