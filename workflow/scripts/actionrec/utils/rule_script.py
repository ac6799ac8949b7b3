"""What every scripted rule does around its one call: logging and errors."""

import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from actionrec.errors import InputError, printable
from actionrec.redaction import redacted
from actionrec.utils import small_files
from actionrec.utils.disk_errors import explained_disk_errors
from actionrec.utils.processes import ending_with

# Set for the jobs of a run whose Snakemake prints the log of a job that fails.
LOGS_ARE_PRINTED = "ACTIONREC_LOGS_ARE_PRINTED"
# Variables whose values no log may hold; a short value cannot be told from other text.
SECRETS = (
    *("NGC_API_KEY", "NGC_CLI_API_KEY", "WANDB_API_KEY", "TAO_KEY"),
    *("SNAKEMAKE_STORAGE_S3_ACCESS_KEY", "SNAKEMAKE_STORAGE_S3_SECRET_KEY"),
    *("SNAKEMAKE_STORAGE_S3_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "AWS_SESSION_TOKEN",
)
_SHORTEST = 12


class Job(Protocol):
    """What Snakemake gives a script as `snakemake`, as far as this package reads it.

    Inputs, outputs and params have the names that the rule gives them, so their types are open.
    """

    rule: str
    input: Any
    output: Any
    params: Any
    wildcards: Any
    resources: Any
    log: Sequence[str]
    threads: int
    config: Mapping[str, Any]


class _Shown(logging.Formatter):
    """Write UTF-8 that moves no cursor, and no secret: an error of a library may hold a header."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for name in SECRETS:
            secret = os.environ.get(name, "").strip()
            if len(secret) >= _SHORTEST:
                # As it is, and as `repr` and `ascii` write it.
                for form in (secret, repr(secret)[1:-1], ascii(secret)[1:-1]):
                    text = text.replace(form, "***")
        return printable(redacted(text))  # names in messages may be of any bytes


@contextmanager
def rule_script(snakemake: Job) -> Iterator[None]:
    """Send a rule's messages to its log; on bad input say what to do, without a traceback.

    Warnings reach the terminal too, and errors unless Snakemake prints them there with the log.
    Any other exception leaves its traceback in the log and fails the rule.
    """
    to_terminal = logging.StreamHandler(sys.stderr)
    to_terminal.setLevel(logging.WARNING)
    to_terminal.setFormatter(_Shown(f"{snakemake.rule}: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[to_terminal], force=True)
    try:
        _log_to(Path(snakemake.log[0]))
        if os.environ.get(LOGS_ARE_PRINTED):
            to_terminal.addFilter(lambda record: record.levelno < logging.ERROR)
        # Else a training would go on unseen for days after a kill -9 of Snakemake alone.
        with ending_with("snakemake"):
            yield
    except KeyboardInterrupt:
        logging.getLogger(__name__).error("Interrupted, or Snakemake has ended: this job ends too.")
        sys.exit(1)
    except InputError as error:
        logging.getLogger(__name__).error("%s", error)
        sys.exit(1)
    except Exception as error:
        known = small_files.explained(error) if isinstance(error, OSError) else None
        if known:
            logging.getLogger(__name__).error("%s", known)
        else:
            logging.getLogger(__name__).exception("The rule failed unexpectedly.")
        sys.exit(1)


def _log_to(path: Path) -> None:
    """Send messages to a log too; raise `InputError` where no file can be."""
    with explained_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        small_files.require_file(path)
        handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(_Shown("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger().addHandler(handler)


def as_paths(files: Any) -> list[Path]:
    """Return an input or output that holds several files, one or none as paths."""
    return [Path(files)] if isinstance(files, str) else [Path(file) for file in files or ()]


def optional(files: Any) -> Path | None:
    """Return the path of an input or a param that may be empty."""
    return next(iter(as_paths(files)), None)


def by_class(classes: Sequence[str], files: Any) -> dict[str, Path]:
    """Return the file of each class; nothing for an input that is empty."""
    found = as_paths(files)
    return dict(zip(classes, found, strict=True)) if found else {}
