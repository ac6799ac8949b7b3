"""What every scripted rule does around its one call: logging and errors."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actionrec.errors import InputError


@contextmanager
def job(snakemake: Any) -> Iterator[None]:
    """Send a rule's messages to its log; on bad input say what to do, without a traceback.

    Warnings and errors reach the terminal too. Any other exception leaves its traceback
    in the log and fails the rule.
    """
    log = Path(snakemake.log[0])
    log.parent.mkdir(parents=True, exist_ok=True)
    to_file = logging.FileHandler(log, mode="w", encoding="utf-8")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    to_terminal = logging.StreamHandler(sys.stderr)
    to_terminal.setLevel(logging.WARNING)
    to_terminal.setFormatter(logging.Formatter(f"{snakemake.rule}: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[to_file, to_terminal], force=True)
    try:
        yield
    except InputError as error:
        logging.getLogger(__name__).error("%s", error)
        sys.exit(1)
    except Exception:
        logging.getLogger(__name__).exception("The rule failed unexpectedly.")
        sys.exit(1)
