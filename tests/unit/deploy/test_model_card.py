"""An export folder says how it is used, and is refused where it is not what it says."""

import json
import shutil

import onnx
import pytest

from actionrec.deploy.model_card import METADATA, read_card
from actionrec.deploy.session import Model
from actionrec.errors import InputError
from helpers.exports import change_card, make_export


def test_the_onnx_file_carries_the_same_description(export):
    props = {entry.key: entry.value for entry in onnx.load(export / "model.onnx").metadata_props}
    card = json.loads((export / "model.json").read_text())
    inside = json.loads(props[METADATA])
    assert {key: card[key] for key in ("inputs", "resize", "labels")} == {
        key: inside[key] for key in ("inputs", "resize", "labels")
    }
    assert inside["strategy"] == card["sampling"]["strategy"]
    assert props["labels"] == "red;green;blue"


def test_a_softmax_is_a_second_output(tmp_path):
    folder = make_export(tmp_path / "soft", softmax=True)
    outputs = [output.name for output in onnx.load(folder / "model.onnx").graph.output]
    assert outputs == ["fc_pred", "probabilities"]
    assert read_card(folder).onnx.probabilities == "probabilities"


def test_a_folder_without_a_card_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no model\.json"):
        Model(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 2}', '{"format": 1}'])
def test_a_damaged_card_is_refused(export, content):
    (export / "model.json").write_text(content)
    with pytest.raises(InputError, match="damaged, of another version"):
        Model(export)


def test_the_folder_of_the_split_leads_to_its_export(export):
    (export.parent / "model.json").write_text('{"checkpoint": "model_epoch=001.pth"}')
    with pytest.raises(InputError, match=f"fix:     name {export}"):
        Model(export.parent)


def test_a_corrupted_model_is_refused(export):
    content = bytearray((export / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (export / "model.onnx").write_bytes(content)
    with pytest.raises(InputError, match=r"not the one that model\.json describes"):
        Model(export)


def test_an_exchanged_model_is_refused(export, tmp_path):
    other = make_export(tmp_path / "other", frames=8)
    shutil.copy(other / "model.onnx", export)
    with pytest.raises(InputError, match=r"not the one that model\.json describes"):
        Model(export)


def test_a_card_of_other_inputs_is_refused(export):
    change_card(export, lambda card: card["labels"].append("yellow"))
    with pytest.raises(InputError, match="inputs or outputs"):
        Model(export)


def test_a_model_that_is_missing_is_named(export):
    (export / "model.onnx").unlink()
    with pytest.raises(InputError, match="The model is missing"):
        Model(export)


def test_no_file_outside_the_folder_is_opened(export, tmp_path):
    shutil.copy(export / "model.onnx", tmp_path / "elsewhere.onnx")
    change_card(export, lambda card: card["onnx"].update(file="../elsewhere.onnx"))
    with pytest.raises(InputError, match="The model is missing"):
        Model(export)


def test_half_precision_that_was_not_exported_is_refused(export):
    with pytest.raises(InputError, match="no model of this precision"):
        Model(export, precision="fp16")
