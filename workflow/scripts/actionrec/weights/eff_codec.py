"""Encrypt and decrypt with NVIDIA's own code; whatever is encrypted is decrypted as a proof.

A program, which `encryption.py` runs in the environment of NVIDIA's package (encryption.lock of
`utils/locks`) with the key in TAO_KEY:

- `eff_codec.py etlt MODEL.onnx MODEL.etlt` writes the form that nvidia-tao-deploy 7.3 reads: the
  length of the input name (0 for ONNX) in four bytes, then the encrypted model.
- `eff_codec.py encrypt` reads plain bytes and prints a line with the kind of encryption, which
  NVIDIA's code draws at random, then the encrypted bytes.
- `eff_codec.py decrypt KIND` reads the encrypted bytes and prints the plain ones.
"""

import io
import os
import struct
import sys
from pathlib import Path

from eff_tao_encryption.tao_codec import decrypt_stream, encrypt_stream, get_random_encryption


def encrypt(plain: bytes, kind: "str | bool", key: str) -> bytes:
    """Return the bytes encrypted; exit if they are not, or cannot be decrypted.

    NVIDIA's package can be installed without its encryption, and then copies what it is given.
    """
    stream = io.BytesIO()
    encrypt_stream(
        input_stream=io.BytesIO(plain), output_stream=stream, passphrase=key, encryption=kind
    )
    secret = stream.getvalue()
    if decrypt(secret, kind, key) != plain:
        sys.exit("what was encrypted could not be decrypted again")
    if plain[:4096] in secret:
        sys.exit("the encryption package wrote plain text")
    return secret


def decrypt(secret: bytes, kind: "str | bool", key: str) -> bytes:
    """Return the bytes decrypted; with a wrong key they are noise."""
    stream = io.BytesIO()
    decrypt_stream(
        input_stream=io.BytesIO(secret), output_stream=stream, passphrase=key, encryption=kind
    )
    return stream.getvalue()


def main(task: str, *arguments: str) -> None:
    """Do one of the three tasks that the module's docstring describes."""
    key = os.environ["TAO_KEY"]
    if task == "etlt":
        onnx, etlt = map(Path, arguments)
        etlt.write_bytes(struct.pack("<i", 0) + encrypt(onnx.read_bytes(), True, key))
    elif task == "encrypt":
        kind = get_random_encryption()
        if not isinstance(kind, str):
            sys.exit("the encryption package offers no encryption")
        secret = encrypt(sys.stdin.buffer.read(), kind, key)
        sys.stdout.buffer.write(kind.encode() + b"\n" + secret)
    elif task == "decrypt":
        sys.stdout.buffer.write(decrypt(sys.stdin.buffer.read(), arguments[0], key))


if __name__ == "__main__":
    main(*sys.argv[1:])
