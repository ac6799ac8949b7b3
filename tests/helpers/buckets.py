"""An object store on this machine: moto's server, in this process."""

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from moto.core.authorization import enable_iam_authentication
from moto.server import ThreadedMotoServer

ACCESS_KEY, SECRET_KEY = "AKIAOFTHETESTS012345", "of+the/tests0123456789abcdefghijklmnopqr"
BUCKET = "data"


# Snakemake imports all plugins that it finds at every start; so this one is where it finds it in
# these tests alone. `make env` puts it there.
PLUGINS = Path(sys.prefix, "plugins")


def client_of(
    service: str,
    address: str,
    access: str = ACCESS_KEY,
    secret: str = SECRET_KEY,
    config: Config | None = None,
) -> Any:
    """Return a client of a service at an address, by default that of the store's owner."""
    return boto3.client(
        service,
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id=access,
        aws_secret_access_key=secret,
        config=config,
    )


class _Asked(logging.Handler):
    """Keeps the lines that the server logs, one a request."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class Store:
    """A server, a client that owns it, and the requests that were `asked`."""

    def __init__(self) -> None:
        handler, logger = _Asked(), logging.getLogger("werkzeug")
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        self.asked = handler.lines
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.server.start()
        self.address = "http://{}:{}".format(*self.server.get_host_and_port())
        self.client = client_of("s3", self.address)
        self.client.create_bucket(Bucket=BUCKET)

    @property
    def environment(self) -> dict[str, str]:
        """Return what a user exports."""
        return {
            "SNAKEMAKE_STORAGE_S3_ENDPOINT_URL": self.address,
            "SNAKEMAKE_STORAGE_S3_ACCESS_KEY": ACCESS_KEY,
            "SNAKEMAKE_STORAGE_S3_SECRET_KEY": SECRET_KEY,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(PLUGINS), os.getenv("PYTHONPATH")])),
        }

    def put(self, folder: Path, prefix: str) -> None:
        """Put all files below a folder."""
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                self.client.upload_file(str(file), BUCKET, f"{prefix}/{file.relative_to(folder)}")

    def put_texts(self, texts: Mapping[str, str]) -> None:
        """Put objects of these keys and contents."""
        for key, text in texts.items():
            self.client.put_object(Bucket=BUCKET, Key=key, Body=text.encode())

    def keys(self, prefix: str) -> set[str]:
        """Return the keys below a prefix, without it."""
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/")
        return {item["Key"].removeprefix(f"{prefix}/") for item in found.get("Contents", ())}


@contextmanager
def store() -> Iterator[Store]:
    """Yield a store whose address and keys are in the environment."""
    found = Store()
    before = dict(os.environ)
    os.environ |= found.environment
    try:
        yield found
    finally:
        os.environ.clear()
        os.environ |= before
        found.server.stop()


@contextmanager
def refusing(found: Store) -> Iterator[dict[str, str]]:
    """Yield the keys of a user with no permission at all; let the store look at keys."""
    iam = client_of("iam", found.address)
    iam.create_user(UserName="nobody")
    keys = iam.create_access_key(UserName="nobody")["AccessKey"]
    with enable_iam_authentication():
        yield {
            "SNAKEMAKE_STORAGE_S3_ACCESS_KEY": keys["AccessKeyId"],
            "SNAKEMAKE_STORAGE_S3_SECRET_KEY": keys["SecretAccessKey"],
        }
    iam.delete_access_key(UserName="nobody", AccessKeyId=keys["AccessKeyId"])
    iam.delete_user(UserName="nobody")
