"""A registry of container images with one image in it, which counts how often that is fetched."""

import gzip
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TYPE = "application/vnd.docker"
MANIFEST = f"{TYPE}.distribution.manifest.v2+json"


def digest(content: bytes) -> str:
    """Return the name of a content in a registry."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Registry:
    """The image of which `files`, a tar archive, is the only layer, under any name and tag."""

    def __init__(self, files: bytes, variables: tuple[str, ...]) -> None:
        layer = gzip.compress(files, mtime=0)
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Env": variables},
                "rootfs": {"type": "layers", "diff_ids": [digest(files)]},
            }
        ).encode()
        self.layer = digest(layer)
        self.blobs = {digest(content): content for content in (layer, config)}
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._described(f"{TYPE}.container.image.v1+json", config),
            "layers": [self._described(f"{TYPE}.image.rootfs.diff.tar.gzip", layer)],
        }
        self.manifest = json.dumps(manifest).encode()
        self.fetched: list[str] = []
        self.address = ""

    def _described(self, kind: str, content: bytes) -> dict[str, str | int]:
        return {"mediaType": kind, "size": len(content), "digest": digest(content)}

    def answer(self, path: str) -> tuple[bytes, str] | None:
        """Return the content at a path and its type, if there is one."""
        _, _, kind, name = path.rsplit("/", 3) if path.count("/") > 3 else ("", "", "", "")
        if kind == "manifests":
            return self.manifest, MANIFEST
        if kind == "blobs" and name in self.blobs:
            return self.blobs[name], "application/octet-stream"
        return (b"{}", "application/json") if path == "/v2/" else None

    def downloads(self) -> int:
        """Return how often the image's files were fetched."""
        return sum(path.endswith(self.layer) for path in self.fetched)


@contextmanager
def running(registry: Registry) -> Iterator[Registry]:
    """Serve a registry over HTTP on loopback, at its `address`."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.reply()

        def do_GET(self) -> None:
            registry.fetched.append(self.path)
            self.wfile.write(self.reply())

        def reply(self) -> bytes:
            content, kind = registry.answer(self.path) or (b"{}", "")
            self.send_response(200 if kind else 404)
            self.send_header("Content-Type", kind or "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Docker-Content-Digest", digest(content))
            self.end_headers()
            return content

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        registry.address = f"127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield registry
        server.shutdown()
