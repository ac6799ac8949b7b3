"""Images: the pixels are Pillow's, and files that are damaged or of another kind are named."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from actionrec.errors import InputError
from actionrec.native.data import image_io


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_a_frame_that_is_not_rgb_is_named(mode, tmp_path):
    path = tmp_path / "000001.png"
    Image.new(mode, (4, 4)).save(path)
    with pytest.raises(InputError, match=rf"000001.png\n  found:   mode {mode}"):
        image_io.read_image(path, (4, 4))


def test_a_truncated_frame_is_named(tmp_path):
    path = tmp_path / "000007.png"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"damaged[\s\S]*000007.png"):
        image_io.read_image(path, (32, 32))


def test_a_frame_with_a_huge_size_in_its_header_is_named(tmp_path):
    path = tmp_path / "000003.png"
    Image.new("RGB", (4, 4)).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 2**20, 2**20)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"damaged[\s\S]*000003.png"):
        image_io.read_image(path, (32, 32))


def by_kornia(monkeypatch):
    monkeypatch.delattr("cv2.imdecode")


def by_opencv(monkeypatch):
    monkeypatch.setattr(image_io, "KORNIA_MAX_THREADS", 0)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(
    ("suffix", "decode"), [("png", by_kornia), ("png", by_opencv), ("jpg", by_opencv)]
)
def test_the_pixels_are_those_of_pillow(suffix, decode, mode, tmp_path, monkeypatch):
    decode(monkeypatch)
    path = tmp_path / f"image.{suffix}"
    shape = (61, 83, 3) if mode == "RGB" else (61, 83)
    noise = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    Image.fromarray(noise).save(path)
    with Image.open(path) as image:
        for size in ((83, 61), (40, 50)):
            expected = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
            assert (image_io.read_image(path, size, mode) == expected).all()
