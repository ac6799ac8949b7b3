"""Addresses are shown and compared without their secrets, and given back where they are used."""

import os
from unittest.mock import Mock

import pytest

from actionrec import redaction
from actionrec.config import addresses
from actionrec.errors import InputError


@pytest.fixture(autouse=True)
def _nothing_hidden(monkeypatch):
    """Leave no address of a test in the environment of others."""
    for name in [name for name in os.environ if name.startswith("ACTIONREC_HIDDEN_")]:
        monkeypatch.delenv(name)
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


PLAIN = (
    "https://host/list.csv",
    "https://host:8080/a@2x.csv",
    "http://[::1]:80/a",
    "http://[2001:db8::1]/a@b",
    "https://host/hidden-0123456789ab/a",
    "https://host/a?",
    "s3://bucket/a@b.csv",
    "file:///a/b.zip",
    "videos/what?.csv",
    "me:you@place/a.csv",
    "/data/x",
)
# Each with what may be shown of it, and with its secrets.
SECRET = {
    "https://host/list.csv?token=abcdef": ("https://host/list.csv", ["token", "abcdef"]),
    "https://host/a#access=abcdef": ("https://host/a", ["access", "abcdef"]),
    "https://host?x@y": ("https://host", ["x@y"]),
    "https://me:pass@host/a?mail=x@y": ("https://host/a", ["me:", "pass", "mail", "x@y"]),
    "https://me:p@ss@host/a": ("https://host/a", ["me:", "p@ss", "ss@"]),
    "https://me:p/ss@host/a": ("https://host/a", ["me:", "p/ss", "ss@"]),
    "https://me:p?ss@host/a": ("https://host/a", ["me:", "p?ss", "ss@"]),
    "https://me:12345@host/a": ("https://host/a", ["12345"]),
    "https://me:a b'c@host/a": ("https://host/a", ["a b'c"]),
    "https://key@host/a": ("https://host/a", ["key"]),
    "s3://me:a/pass@bucket/a.csv": ("s3://bucket/a.csv", ["pass"]),
    "s3://me:12/pass@bucket/a.csv": ("s3://bucket/a.csv", ["pass"]),
    "S3://me:12/pass@bucket/a.csv": ("S3://bucket/a.csv", ["pass"]),
    "HTTPS:/me:pass@host/a": ("HTTPS:/host/a", ["pass"]),
    "http://me:pass@[2001:db8::1]:80/a@b": ("http://[2001:db8::1]:80/a@b", ["pass"]),
    "https://me:pass@host/hidden-0123456789ab": ("https://host/hidden-0123456789ab", ["pass"]),
    "https://host/a?hidden-0123456789ab&sig=abcdef": ("https://host/a", ["abcdef"]),
    "rtsp://me:pass@camera:554/live": ("rtsp://camera:554/live", ["pass"]),
    "https:/host/a?token=abcdef": ("https:/host/a", ["abcdef"]),
    "  https://host/a?token=abcdef": ("  https://host/a", ["abcdef"]),
}


@pytest.mark.parametrize("address", PLAIN)
def test_an_address_without_secrets_stands_for_itself(address):
    assert redaction.hidden(address) == redaction.revealed(address) == address
    assert not any(name.startswith("ACTIONREC_HIDDEN_") for name in os.environ)


@pytest.mark.parametrize("address", SECRET)
def test_secrets_are_neither_shown_nor_lost(address):
    public, secrets = SECRET[address]
    assert redaction.shown(address) == public
    hidden = redaction.hidden(address)
    for text in (public, hidden, redaction.redacted(f"HEAD '{address}' failed: {address}")):
        assert not any(secret in text for secret in secrets), text
    assert redaction.shown(hidden) == public
    assert redaction.has_user(hidden) == redaction.has_user(address)
    assert redaction.revealed(hidden) == address
    assert redaction.hidden(hidden) == hidden, "hidden once"


def test_another_secret_is_another_address():
    hidden = {redaction.hidden(f"https://host/a?token={number}") for number in range(3)}
    assert len(hidden) == 3
    assert redaction.hidden("https://host/a?token=1") in hidden


def test_a_secret_that_another_begins_with_hides_no_less_of_that():
    for token in ("abcdefgh", "abcdefghSECRET"):
        redaction.hidden(f"https://host/a?token={token}")
    assert "SECRET" not in redaction.redacted("GET https://host/a?token=abcdefghSECRET: refused")


def test_a_digest_is_computed_once(monkeypatch):
    """Or each job would, and a plan of many mirrors once more for each place they stand in."""
    hidden = redaction.hidden("https://host/a?token=b")
    monkeypatch.setattr(redaction, "_digest", None)
    assert redaction.hidden("https://host/a?token=b") == hidden


def test_a_long_word_is_searched_in_no_time():
    """It would be minutes if each letter might begin a scheme."""
    word = "word" * 50_000
    assert redaction.redacted(word) == word


def test_a_guess_of_a_password_takes_its_time(monkeypatch):
    """The digest is in readable files: it must not be one of which a machine tries millions."""
    slow = Mock(wraps=redaction.hashlib.pbkdf2_hmac)
    monkeypatch.setattr(redaction.hashlib, "pbkdf2_hmac", slow)
    redaction.hidden("https://me:a-new-one@host/a")
    *_, rounds = slow.call_args.args
    assert rounds == 100_000


def test_texts_keep_what_is_no_secret():
    text = (
        "correct it: docs/a.md#b, host:80, me@mail.org, what? why? 'a?b', C:/x, https://host/a#b "
        "https://host:80/a@2 s3://bucket/x@y"
    )
    assert redaction.redacted(text) == text


def test_what_a_library_says_of_a_request_is_redacted():
    redaction.hidden("https://me:pass word@host/list.csv?sig=a+b/c=&expires=5 h")
    said = "Max retries exceeded with url: /list.csv?sig=a+b/c=&expires=5%20h"
    said += " (host 'me:pass word@host'); 'pass word' is wrong"
    assert redaction.redacted(said) == (
        "Max retries exceeded with url: /list.csv?*** (host '***host'); '***' is wrong"
    )


def test_no_message_shows_a_secret():
    error = InputError(
        "Refused: https://me:pass@host/a?token=b",
        where="https://me:pass@host/a?token=b",
        found=["https://me:pass@host/a?token=b"],
        allowed=["https://me:pass@host/a?token=c"],
        fix="curl https://me:pass@host/a?token=b",
    )
    assert "pass" not in str(error) and "token" not in str(error)
    assert str(error).count("https://host/a") >= 5


def test_all_values_of_a_configuration_are_hidden_but_those_of_specs():
    address = "https://host/a?token=abcdef"
    content = {
        "dataset": {"path": {"train": address}, "archives": {"videos": {"urls": [address, None]}}},
        "tracking": {"mlflow": "http://me:pass@host:5000"},
        "spec": {"wandb": {"name": address}},
        "experiments": {"x": {"pretrained": {"url": address}, "spec": {"a": address}, "n": 1}},
    }
    found = addresses.hide(content)
    assert found["spec"] == content["spec"]
    assert found["experiments"]["x"]["spec"] == {"a": address}
    assert str(found).count("abcdef") == 2 and "pass" not in str(found)
    assert found["experiments"]["x"]["n"] == 1
    assert addresses.hide(found) == found
