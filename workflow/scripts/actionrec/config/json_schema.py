"""The JSON schema of the configuration, made of the models and the spec's dataclasses."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, get_args

from pydantic.json_schema import GenerateJsonSchema

from actionrec.config.models import Config
from actionrec.config.models.section import Section
from actionrec.spec.native_keys import NativeConfig
from actionrec.spec.schema import Spec

COMMENT = "Generated from actionrec.config.models by `make docs`; do not edit."


class _Plain(GenerateJsonSchema):
    """Without titles, which repeat the keys, and without defaults of null.

    Snakemake fills defaults in wherever it looks, also into the forms of `pretrained` that a value
    does not have.
    """

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: Any) -> Any:
        found = super().default_schema(schema)
        if found.get("default", ...) is None:
            del found["default"]
        return found


def schema() -> dict[str, Any]:
    """Return the schema that Snakemake validates, and that editors complete keys by."""
    found = Config.model_json_schema(schema_generator=_Plain)
    for model in _models(Config):
        part = found if model is Config else found["$defs"][model.__name__]
        texts = model.explanations()
        for name, text in texts.items():
            part["properties"][name]["description"] = text
        if texts and not part.get("required"):  # not one of the forms that a value may have
            part["type"] = ["object", "null"]  # a section without keys is empty
    found["$defs"]["Spec"] = _schema_of_dataclass(Spec, leave_out="native")
    found["$defs"]["NativeConfig"] = _schema_of_dataclass(NativeConfig)
    for part in (found, found["$defs"]["ExperimentConfig"]):
        for name, kind in (("spec", "Spec"), ("native", "NativeConfig")):
            text = part["properties"][name]["description"]
            part["properties"][name] = {"$ref": f"#/$defs/{kind}", "description": text}
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": COMMENT,
        "title": "Configuration of the action recognition workflow",
    }
    return {**head, **{key: value for key, value in found.items() if key not in head}}


def _models(model: type[Section]) -> Iterator[type[Section]]:
    """Yield a model and those in it, each once."""
    found = [model]
    for current in found:  # which grows on the way
        for info in current.model_fields.values():
            found += [inner for inner in _sections_in(info.annotation) if inner not in found]
    yield from found


def _sections_in(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for member in get_args(annotation):
        yield from _sections_in(member)


def _schema_of_dataclass(section: Any, leave_out: str = "") -> dict[str, Any]:
    """Return names, explanations and options of a section's keys.

    Their types and defaults are not here: what a spec may hold, and what it holds by default, is
    for OmegaConf to say, as in TAO, and Snakemake would fill the defaults in.
    """
    properties: dict[str, Mapping[str, Any]] = {}
    for item in fields(section):
        if is_dataclass(item.type):
            properties[item.name] = _schema_of_dataclass(item.type)
        else:
            properties[item.name] = {"description": item.metadata["help"]}
    properties.pop(leave_out, None)
    return {
        "type": "object",
        "description": " ".join((section.__doc__ or "").split()),
        "properties": properties,
    }
