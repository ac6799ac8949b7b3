"""Whatever a configuration, a spec, a table or a small file holds, only explained errors come.

Hypothesis draws inputs near valid ones and far from them. `make faults` draws others each time.
"""

import copy
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from actionrec.config import load
from actionrec.config.models import Config
from actionrec.dataset.split_table import read_split
from actionrec.errors import InputError
from actionrec.experiments import status_json
from actionrec.frames.flow_manifest import read_flow_manifest
from actionrec.frames.manifest import read_manifest
from actionrec.frames.segments import read_segments
from actionrec.frames.videos import read_files_table
from actionrec.native.data.image_io import read_image
from actionrec.sources import shad, split_files
from actionrec.sources.table import read_list, read_parts
from actionrec.spec.load import load_spec
from actionrec.utils import checksums
from actionrec.weights import ngc
from helpers import REPOSITORY

SEED = os.environ.get("ACTIONREC_FAULTS_SEED")
EXAMPLES = 25 if SEED is None else 600
# Inputs are the same each time, and others with a seed; what fails is printed as it was drawn.
drawn = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=SEED is None,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
seeded: Callable[[Any], Any] = seed(int(SEED)) if SEED else lambda test: test

DEMO = yaml.safe_load((REPOSITORY / "config/config.yaml").read_text())
SPEC = {
    "results_dir": "/r",
    "encryption_key": "${oc.env:TAO_KEY,nvidia_tao}",
    "wandb": {"name": "${results_dir}", "tags": ["a"]},
    "model": {"model_type": "rgb", "backbone": "resnet_18", "rgb_seq_length": 3},
    "dataset": {"label_map": {"a": 0, "b": 1}, "batch_size": 2, "augmentation_config": {}},
    "train": {"num_epochs": 3, "gpu_ids": [0], "optim": {"lr": 0.1, "lr_steps": [1, 2]}},
    "native": {},
}

texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["", "~", "..", "/", "a/b", "${a}", "${", "${oc.env:HOME}", "{x}", "1e999", "0x", "auto"]
    ),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([-1, 0, 2**31, 2**63, 10**400]),
    st.floats(),
    st.dates(),
    st.binary(max_size=5),
    texts,
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(texts, st.integers(), st.booleans()), inner, max_size=4),
    ),
    max_leaves=6,
)


def places(content: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the ways to all keys and items of nested mappings and lists."""
    items = content.items() if isinstance(content, Mapping) else enumerate(content or ())
    found = []
    for key, value in items:
        found.append((*at, key))
        if isinstance(value, dict | list):
            found += places(value, (*at, key))
    return found


def known_places() -> list[tuple[str, ...]]:
    """Return the keys of the configuration's sections that the demo does not write."""
    found: list[tuple[str, ...]] = []
    for section, info in Config.model_fields.items():
        fields = getattr(info.annotation, "model_fields", {})
        found += [(section, key) for key in fields]
    return found


def _inside(content: Any, place: tuple[Any, ...]) -> Any:
    """Return what is at a place, with mappings on the way made; None where there can be none."""
    for part in place:
        if isinstance(content, dict):
            content = content.setdefault(part, {})
        elif isinstance(content, list) and part in range(len(content)):
            content = content[part]
        else:
            return None
    return content


@st.composite
def mutated(draw: st.DrawFn, content: Mapping[str, Any], more: list[tuple[Any, ...]]) -> Any:
    """Return `content` with one to three of its values, or of those at `more` places, replaced."""
    changed: dict[str, Any] = copy.deepcopy(dict(content))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from([*places(changed), *more]))
        parent = _inside(changed, place[:-1])
        if isinstance(parent, dict):
            parent[place[-1] if draw(st.booleans()) else draw(texts)] = draw(values)
        elif isinstance(parent, list) and place[-1] in range(len(parent)):
            parent[place[-1]] = draw(values)
    return changed


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep warnings, of names of any bytes, out of what pytest-xdist sends."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def only_explained(function: Callable[..., object], *arguments: object) -> None:
    """Call a function, which may refuse its input with an explanation that can be written."""
    try:
        function(*arguments)
    except (InputError, shad.BadAnnotation) as error:  # the latter is part of one that lists all
        assert str(error)


@seeded
@drawn
@given(mutated(DEMO, known_places()))
def test_any_configuration(tmp_path_factory, content):
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    try:
        file.write_text(yaml.safe_dump(content, allow_unicode=True), errors="surrogatepass")
    except (yaml.YAMLError, ValueError):  # numbers of more digits than Python writes
        file.write_text("{}")
    only_explained(load.checked, content, [file])


@seeded
@drawn
@given(mutated(SPEC, [("native", "x"), ("model", "x")]))
def test_any_spec(tmp_path_factory, content):
    file = tmp_path_factory.getbasetemp() / "spec.yaml"
    try:
        text = yaml.safe_dump(content, allow_unicode=True)
    except (yaml.YAMLError, ValueError):
        return
    file.write_text(text, errors="surrogatepass")
    only_explained(load_spec, file)


@seeded
@drawn
@given(st.one_of(st.text(), st.text("{}[]&*!?|>-:#'\"%@`,<~ \n\tab1${}."), st.binary()))
def test_any_yaml(tmp_path_factory, content):
    file = tmp_path_factory.getbasetemp() / "text.yaml"
    if isinstance(content, str):
        content = content.encode("utf-8", "surrogatepass")
    file.write_bytes(content)
    only_explained(load_spec, file)


@seeded
@drawn
@given(st.text("abc.=${}[],:-1_ \"'\\"))
def test_any_override(tmp_path_factory, override):
    file = tmp_path_factory.getbasetemp() / "empty.yaml"
    file.write_text("{}")
    only_explained(load_spec, file, [override])
    only_explained(load_spec, file, [f"wandb.name={override}"])


def _labels_of(path: Path) -> object:
    return read_list(path, path, "")


def _verify(path: Path) -> None:
    path.with_name("file").write_bytes(b"content")
    path.replace(path.with_name("file.sha256"))
    checksums.verify(path.with_name("file"), "0" * 64)


def _history(path: Path) -> object:
    path.replace(path.with_name("status.json"))
    return status_json.read_history(status_json.read_records(path.parent))


# Each reader, and a file that it reads.
READERS: dict[str, tuple[Callable[[Path], object], bytes]] = {
    "videos table": (read_files_table, b"file\tbytes\na.avi\t5\nb.avi\t6\n"),
    "frames table": (
        read_manifest,
        b"video\tfile\tframes\twidth\theight\tfps\tbytes\tsha256\tsuffix\tformat\tstatus\treason\tcontent\n"
        b"a\ta.avi\t5\t320\t240\t30.0\t9\tff\tpng\tpng\tok\t\tff\n",
    ),
    "flow table": (read_flow_manifest, b"video\timages\n"),
    "segments table": (read_segments, b"video\tfile\tbytes\tstart\tend\na\ta.avi\t5\t0.0\tinf\n"),
    "split table": (
        read_split,
        b"part\tclass\tvideo\tframes\tformat\tsha256\tflow\ntrain\ta\tb\t5\tpng\tff\t\n",
    ),
    "parts table": (read_parts, b"video\tpart\na\ttrain\n"),
    "list of videos": (
        lambda path: read_list(path, None, ""),
        b"path,label,split,start,end\na.mp4,walk,train,0,1.5\n",
    ),
    "MMAction2 list": (_labels_of, b"a.mp4 0\nb.mp4 1\n"),
    "split file": (split_files.read_class_file, b"a.avi 1\nb.avi 2\nc.avi 0\n"),
    "SHAD's spans": (lambda path: shad.read_spans(path.read_text("latin-1")), b"1, Walk, 2, 30\n"),
    "SHAD's boxes": (shad.read_boxes, b"<xml><source><framenum>1</framenum></source></xml>"),
    "checksum": (_verify, b"ff  file\n# 5 bytes, 7 ns\n"),
    "status of TAO": (
        _history,
        b'{"date": "1/2/2026", "time": "1:2:3", "status": "RUNNING", "epoch": 1, '
        b'"max_epoch": 5, "kpi": {"loss": 1.5}}\n',
    ),
    "image": (lambda path: read_image(path, (32, 32)), b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"),
    "answer of NGC": (
        lambda path: ngc._Registry._read(
            ngc._Page, ngc.Model.parse("a/b:c"), "u", path.read_bytes()
        ),
        b'{"modelFiles": [{"path": "x.pth", "sizeInBytes": 5}], "paginationInfo": {}}',
    ),
}


@st.composite
def contents(draw: st.DrawFn, valid: bytes) -> bytes:
    """Return a valid file with bytes replaced, added and cut, or any bytes."""
    if draw(st.integers(0, 4)) == 0:
        return draw(st.binary(max_size=60))
    content = bytearray(valid)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(len(content), start + 8)))
        content[start:end] = draw(
            st.one_of(
                st.binary(max_size=6),
                st.sampled_from([b"\t", b"\n", b"\r", b'"', b"\x00", b"-1", b"nan", b"9" * 400]),
                st.sampled_from([b"..", b"/", b"1e999", b"\xff", "٣".encode(), b"null", b"{}"]),
            )
        )
    return bytes(content)


@pytest.mark.parametrize("name", READERS)
def test_any_small_file(tmp_path, name):
    read, valid = READERS[name]

    @seeded
    @drawn
    @given(contents(valid))
    def check(content: bytes) -> None:
        file = tmp_path / "any"
        file.write_bytes(content)
        only_explained(read, file)

    check()
