"""Turn the first error that a model finds into a message with key, value and choices."""

import json
import re
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from actionrec.config.files import ConfigFiles
from actionrec.config.yaml_traps import Key, as_read
from actionrec.errors import InputError, snakemake_command

ADD_KEY = "add it; config/README.md explains every key"
# What a value must be, by pydantic's types of errors.
KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list, such as [a, b]",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
}


def dry_run() -> str:
    """Return what to do about a value that is wrong."""
    return f"correct it, then look at the plan: {snakemake_command('-n')}"


def explained(error: ValidationError, files: ConfigFiles) -> InputError:
    """Return the first problem of a configuration as what its user sees."""
    details = error.errors(include_url=False)[0]
    context, value, path = details.get("ctx", {}), details["input"], details["loc"]
    match details["type"]:
        case "renamed":
            return _renamed(path, context, files)
        case "unknown":
            return _unknown(path, context, files)
        case "missing":
            return InputError(
                f"Missing configuration key {path[-1]!r}.",
                where=files.where(*path[:-1]),
                fix=ADD_KEY,
            )
    if path[-1] == "[key]":
        return _bad_name(path, details, files)
    options = _options(details)
    return InputError(
        _problem(details),
        where=files.where(*path, value=value),
        found=_found(value),
        allowed=context["forms"] if details["type"] == "form" else options,
        fix=spelling(path, value, details["type"], files, options) or dry_run(),
    )


def _renamed(path: tuple[Key, ...], context: Any, files: ConfigFiles) -> InputError:
    return InputError(
        f"The configuration key {context['key']!r} has a new name.",
        where=files.where(*path, context["key"]),
        found=context["key"],
        allowed=[context["now"]],
        fix=f"rename it to {context['now']}",
    )


def _unknown(path: tuple[Key, ...], context: Any, files: ConfigFiles) -> InputError:
    key = context["key"]
    return InputError(
        f"Unknown configuration key {key!r}.",
        where=files.where(*path, key),
        found=key,
        allowed=context["known"],
        fix=dry_run(),
    )


def _bad_name(path: tuple[Key, ...], details: ErrorDetails, files: ConfigFiles) -> InputError:
    """Return the message for a name that a user gives, such as an experiment's."""
    name = details["input"]
    text = files.text_of_key((*path[:-2], name))
    return InputError(
        _problem(details).replace("value", "name"),
        where=files.where(*path[:-2], text),
        found=text,
        fix=dry_run() if isinstance(name, str) else f'{as_read(text, name)}: write "{text}"',
    )


def _problem(details: ErrorDetails) -> str:
    match details["type"]:
        case "form":
            return "Configuration value not accepted: it has none of the forms of this key."
        case "twice":
            return "Configuration value not accepted: the list holds an item twice."
        case "literal_error":
            return "Configuration value not accepted: it is none of the key's options."
        case kind if kind in KINDS:
            return f"Configuration value not accepted: it should be {KINDS[kind]}."
    message = details["msg"].removeprefix("Input ").removeprefix("String ")
    message = re.sub(r"^(List|Dictionary) ", "", message)
    return f"Configuration value not accepted: it {message}."


def _found(value: Any) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)


def _options(details: ErrorDetails) -> list[str] | None:
    if details["type"] != "literal_error":
        return None
    return re.findall(r"'([^']*)'", details["ctx"]["expected"])


def spelling(
    path: Sequence[Key],
    value: Any,
    kind: str,
    files: ConfigFiles,
    options: Sequence[str] | None = None,
) -> str | None:
    """Return what to write where YAML, or quotes, made another type of a value than was meant.

    `kind` is the type of the error, as pydantic calls it; `options` are a text's allowed values.
    """
    if kind in ("string_type", "literal_error", "form"):
        return _text_spelling(path, value, files, options)
    if kind == "int_type" and isinstance(value, float) and value.is_integer():
        return f"write {value:.0f}"
    meant = _meant(value, kind) if isinstance(value, str) else None
    if meant is None:
        return None
    if files.names and files.find(path, value) is None:
        return f"a value of --config is text: write {meant} into a file for --configfile"
    return f"YAML reads {value} as text here: write {meant} without quotes"


def _text_spelling(
    path: Sequence[Key], value: Any, files: ConfigFiles, options: Sequence[str] | None
) -> str | None:
    """Return what to write for a text that YAML took for another type; in a mapping the first."""
    if isinstance(value, dict):
        inner = (_text_spelling((*path, key), item, files, None) for key, item in value.items())
        return next(filter(None, inner), None)
    if isinstance(value, str | list):
        return None
    text = files.text_of(path, value)
    if value is None and text in ("", "None"):
        return "write a value, or remove the key"
    meant = text if options is None else next((o for o in options if o.startswith(text)), None)
    remedy = "choose one of the allowed values" if meant is None else f'write "{meant}"'
    return f"{as_read(text, value)}: {remedy}"


def _meant(text: str, kind: str) -> str | None:
    """Return the number or truth value that a text stands for, None if none."""
    if kind not in ("int_type", "float_type", "bool_type"):
        return None
    if kind == "bool_type":
        words = {"yes": "true", "on": "true", "true": "true"}
        words |= {"no": "false", "off": "false", "false": "false"}
        return words.get(text.lower())
    try:
        number = float(text)
    except ValueError:
        return None
    if kind == "int_type":
        return str(int(number)) if number.is_integer() else None
    return str(number)
