"""What is asked of an object store, and what is refused, on a real server of moto's."""

import socket

import boto3
import pytest
from botocore.config import Config

from actionrec.config import addresses
from actionrec.errors import InputError
from actionrec.sources import object_store
from actionrec.sources.object_store import Stored
from helpers.buckets import BUCKET, Store, refusing, store

WHERE = "config.yaml, dataset.path"


@pytest.fixture(scope="module")
def bucket():
    with store() as found:
        yield found


def client(address: str, access: str = "a", secret: str = "b"):
    return boto3.client(
        "s3",
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id=access,
        aws_secret_access_key=secret,
        config=Config(retries={"max_attempts": 0}, connect_timeout=2),
    )


def refused(function, *arguments) -> str:
    with pytest.raises(InputError) as caught:
        function(*arguments)
    return str(caught.value)


def test_names_with_spaces_and_accents_are_listed_by_one_request(bucket: Store):
    bucket.put_texts({f"list/my set/Übung 1/{name}.mp4": "x" for name in ("a b", "ü", "c+d&e=f")})
    bucket.put_texts({"list/my set/Übung 1/": ""})  # as consoles make folders
    bucket.asked.clear()
    found = object_store.listed(bucket.client, f"s3://{BUCKET}/list/my set", WHERE)
    assert {item.key for item in found} == {
        f"Übung 1/{name}.mp4" for name in ("a b", "ü", "c+d&e=f")
    }
    assert [item.bytes for item in found] == [1, 1, 1]
    assert len(bucket.asked) == 1


def test_more_objects_than_one_answer_holds_are_all_listed(bucket: Store, monkeypatch):
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    bucket.put_texts({f"pages/walk/{index}.mp4": "x" for index in range(5)})
    bucket.asked.clear()
    assert len(object_store.listed(bucket.client, f"s3://{BUCKET}/pages", WHERE)) == 5
    assert len(bucket.asked) == 3


@pytest.mark.parametrize("ask", [object_store.listed, object_store.looked_up])
def test_no_permission(bucket: Store, ask):
    with refusing(bucket) as keys:
        asked = client(bucket.address, *keys.values())
        said = refused(ask, asked, f"s3://{BUCKET}/any/file", WHERE)
        assert "gives no permission" in said and "HTTP 403" in said
        assert f"s3:ListBucket on {BUCKET}" in said and "SNAKEMAKE_STORAGE_S3_ACCESS_KEY" in said
        assert WHERE in said and f"s3://{BUCKET}/any/file" in said
        assert not any(secret in said for secret in keys.values())


def test_keys_that_the_store_does_not_know(bucket: Store):
    with refusing(bucket):
        asked = client(bucket.address, "AKIANOBODYKNOWSTHIS1", "secret of nobody")
        said = refused(object_store.listed, asked, f"s3://{BUCKET}/any", WHERE)
    assert "does not know these credentials" in said and "AKIANOBODY" not in said


@pytest.mark.parametrize("ask", [object_store.listed, object_store.looked_up])
def test_no_such_bucket(bucket: Store, ask):
    said = refused(ask, bucket.client, "s3://no-such-bucket/any", WHERE)
    assert "no such bucket" in said and "aws s3 ls s3://no-such-bucket/" in said


def test_no_such_object_and_nothing_below_a_prefix(bucket: Store):
    said = refused(object_store.looked_up, bucket.client, f"s3://{BUCKET}/no/list.csv", WHERE)
    assert "no such object" in said and f"aws s3 ls s3://{BUCKET}/no" in said
    said = refused(object_store.listed, bucket.client, f"s3://{BUCKET}/nothing", WHERE)
    assert "Nothing is in the object store" in said and f"s3://{BUCKET}/nothing/" in said


def test_no_server_answers():
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    said = refused(object_store.listed, client(address), f"s3://{BUCKET}/any", WHERE)
    assert "cannot be asked" in said and address in said
    assert "SNAKEMAKE_STORAGE_S3_ENDPOINT_URL" in said


UNSAFE = (
    "walk/../../../etc/x.mp4",
    "walk//etc/x.mp4",
    "walk/./x.mp4",
    f"walk/{'ü' * 200}.mp4",
    "walk/a.mp4/b.mp4",
)


@pytest.mark.parametrize("key", UNSAFE)
def test_keys_that_leave_the_folder_or_fit_in_none_are_refused(key):
    objects = [Stored("walk/a.mp4", 1, 0.0), Stored(key, 1, 0.0)]
    said = refused(object_store.of_class, objects, "s3://b/set", "walk", WHERE)
    assert "cannot be a file on this machine" in said and "rename or remove" in said
    refused(object_store.require_videos, objects, "s3://b/set", WHERE)


def test_a_class_is_found_in_either_form_of_its_accents_and_others_are_named():
    objects = [Stored("U\u0308bung/a.mp4", 1, 0.0), Stored("run/b.mp4", 1, 0.0)]
    found = object_store.of_class(objects, "s3://b", "\u00dcbung", WHERE)
    assert [item.key for item in found] == ["U\u0308bung/a.mp4"]
    said = refused(object_store.of_class, objects, "s3://b", "rum", WHERE)
    assert "s3://b/rum" in said and "allowed: U" in said and "run" in said


def test_a_prefix_without_videos_is_refused():
    objects = [Stored("walk/notes.txt", 1, 0.0)]
    said = refused(object_store.of_class, objects, "s3://b/set", "walk", WHERE)
    assert "'walk' has no videos" in said and "s3://b/set/walk/" in said and "*.mp4" in said
    said = refused(object_store.require_videos, objects, "s3://b/set", WHERE)
    assert "no videos at this address" in said


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("s3://", "names no bucket"),
        ("s3:///key", "names no bucket"),
        ("s3://bucket", "no file in it"),
        ("s3://bucket/../other/key", "empty part, `.` or `..`"),
        ("s3://bucket/a//b", "empty part, `.` or `..`"),
        ("s3://bucket/a?b", "another meaning"),
        ("s3://bucket/{a}", "another meaning"),
        ("s3://me:secret@bucket/key", "a user's name or a password"),
        ("gs://bucket/key", "cannot stand here"),
        ("https://host/key", "cannot stand here"),
    ],
)
def test_addresses_that_are_refused(address, problem):
    said = refused(addresses.check, address, WHERE, ("s3",))
    assert problem in said and WHERE in said and "secret" not in said.replace("secrets", "")


def test_addresses_that_are_taken():
    for path in ("/data/a", "~/a", "a:b", "s3://bucket/a b/Übung.csv", "s3://my.bucket-1/a"):
        addresses.check(path, WHERE, ("s3",))
    addresses.check("s3://bucket", WHERE, ("s3",), folder=True)
    addresses.check("https://host/list.csv", WHERE, addresses.WEB)
    assert addresses.parts("s3://bucket/a/b/") == ("bucket", "a/b")


def test_without_the_plugin_the_command_that_installs_it_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = refused(object_store.require_plugin, "s3://b/k", WHERE)
    assert 'pip install "snakemake-storage-plugin-s3==' in said


def test_an_archive_with_another_checksum_takes_no_ones_place(tmp_path):
    retrieved, target = tmp_path / "retrieved.zip", tmp_path / "archives/set.zip"
    retrieved.write_text("first")
    object_store.take_archive(retrieved, target, None)
    assert target.read_text() == "first" and target.samefile(retrieved)
    other = tmp_path / "other.zip"
    other.write_text("second")
    said = refused(object_store.take_archive, other, target, None)
    assert "delete" in said and f"{target}.sha256" in said
    assert target.read_text() == "first"
    assert "correct sha256" in refused(object_store.take_archive, other, target, "0" * 64)


def test_copies_that_are_lost_are_noticed(tmp_path):
    (tmp_path / "retrieved/x").mkdir(parents=True)
    (tmp_path / "retrieved/x/a.mp4").write_text("video")
    (tmp_path / "retrieved/notes.txt").write_text("text")
    videos, table = tmp_path / "videos", tmp_path / "fetched.tsv"
    object_store.take_tree(tmp_path / "retrieved", videos, table)
    assert [path.name for path in videos.rglob("*.*")] == ["a.mp4"]
    assert object_store.lost_files(videos, table) == ""
    (videos / "x/a.mp4").unlink()
    assert "x/a.mp4" in object_store.lost_files(videos, table)
