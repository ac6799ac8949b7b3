"""The error that a wrong spec ends in."""

from collections.abc import Iterable
from pathlib import Path

from actionrec.errors import InputError


class SpecError(InputError):
    """Say what is wrong with a key of a spec.

    Its parts stay readable, so that the workflow can name the place in the configuration that the
    key comes from.
    """

    def __init__(
        self,
        problem: str,
        *,
        key: str = "",
        where: str | Path | None = None,
        found: object = None,
        allowed: Iterable[object] | str | None = None,
        fix: str | None = None,
    ) -> None:
        self.problem, self.key, self.found, self.fix = problem, key, found, fix
        self.allowed: list[object] | str | None = (
            allowed if allowed is None or isinstance(allowed, str) else list(allowed)
        )
        super().__init__(
            problem,
            where=f"{where}: {key}" if key else where,
            found=found,
            allowed=self.allowed,
            fix=fix,
        )
