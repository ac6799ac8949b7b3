"""What all sections of the configuration have in common."""

import ast
import inspect
import itertools
import os
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from actionrec.errors import printable

T = TypeVar("T")


class Section(BaseModel):
    """A mapping of known keys. No value is converted: `1` is no text and `"1"` no number."""

    model_config = ConfigDict(extra="forbid", strict=True)

    # What a key was called before, and what it is called now; the old name is refused with that.
    renamed: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, keys: Any) -> Any:
        """Take a section without keys for an empty one; name an unknown key with the known ones."""
        if keys is None:
            return {}
        if isinstance(keys, Mapping):
            for key in keys:
                if key in cls.renamed:
                    raise PydanticCustomError(
                        "renamed", "renamed", {"key": key, "now": cls.renamed[key]}
                    )
                if key not in cls.model_fields:
                    known = list(cls.model_fields)
                    raise PydanticCustomError("unknown", "unknown", {"key": key, "known": known})
        return keys

    @classmethod
    def explanations(cls) -> dict[str, str]:
        """Return the docstring below each key.

        pydantic can read them too, but then at every start, where nobody needs them.
        """
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
        texts = {}
        for key, text in itertools.pairwise(getattr(body, "body", ())):
            if isinstance(key, ast.AnnAssign) and isinstance(text, ast.Expr):
                texts[ast.unparse(key.target)] = inspect.cleandoc(ast.literal_eval(text.value))
        return texts


@dataclass(frozen=True)
class Shown:
    """What the reference shows of a key where its type does not say it."""

    values: str = ""
    default: str = ""


def one_of_forms(forms: str) -> WrapValidator:
    """Return a validator of a union that names all its forms in place of an error for each."""

    def validate(value: Any, members: Callable[[Any], T]) -> T:
        try:
            return members(value)
        except ValidationError as error:
            if hidden := next((e for e in error.errors() if e["type"] == "unshown"), None):
                raise PydanticCustomError("unshown", hidden["msg"]) from None
            raise PydanticCustomError("form", "form", {"forms": forms}) from None

    return WrapValidator(validate)


def _unique(values: list[T]) -> list[T]:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise PydanticCustomError("twice", "twice", {"value": value})
    return values


def _visible(text: str) -> str:
    """Refuse control characters: a name or path ends where it seems to end."""
    if "\n" in text or printable(text) != text:
        raise PydanticCustomError(
            "unshown", "holds a character that is not seen, such as a line break"
        )
    return text


def _parsed(value: Any) -> Any:
    """Return the number that YAML 1.2 and Python read in a text such as 1e-3, else the value.

    YAML 1.1, which Snakemake reads, takes it for text, as it wants a point: 1.0e-3.
    """
    if isinstance(value, str) and value[:1].isdigit() and not value.isdigit():
        try:
            return float(value)
        except ValueError:
            return value
    return value


Visible = AfterValidator(_visible)
Text = Annotated[str, Field(min_length=1), Visible]
# `~` is the home folder, as a shell has it; what has no such user is left for a check to find.
PathText = Annotated[Text, AfterValidator(os.path.expanduser)]
Fraction = Annotated[float, BeforeValidator(_parsed), Field(gt=0, lt=1)]
Unique = AfterValidator(_unique)
Keys = Annotated[dict[str, Any], BeforeValidator(lambda keys: {} if keys is None else keys)]
