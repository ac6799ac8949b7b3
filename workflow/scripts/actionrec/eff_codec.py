"""Encrypt an ONNX file as TAO's .etlt with NVIDIA's own code, and prove it by decrypting it.

A program of its own, for the environment that NVIDIA's package needs (envs/encryption.lock):
`eff_codec.py MODEL.onnx MODEL.etlt`, key in TAO_KEY. The form is nvidia-tao-deploy 7.3's: the
length of the input name (0 for ONNX) in four bytes, then the encrypted stream.
"""

import io
import os
import struct
import sys
from pathlib import Path

from eff_tao_encryption.tao_codec import decrypt_stream, encrypt_stream


def main(onnx: Path, etlt: Path, key: str) -> None:
    """Write `etlt`; fail if it is not the encrypted `onnx`."""
    plain = onnx.read_bytes()
    with onnx.open("rb") as source, etlt.open("wb") as target:
        target.write(struct.pack("<i", 0))
        encrypt_stream(input_stream=source, output_stream=target, passphrase=key, encryption=True)
    with etlt.open("rb") as source:
        source.seek(4)
        decrypted = io.BytesIO()
        decrypt_stream(source, decrypted, key, encryption=True, rewind=False)
    if decrypted.getvalue() != plain:
        sys.exit("decrypting the .etlt did not give the ONNX model back")
    if plain[:4096] in etlt.read_bytes():
        sys.exit("the encryption package wrote plain text")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), os.environ["TAO_KEY"])
