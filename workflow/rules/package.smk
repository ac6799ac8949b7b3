"""Make the package importable: in a checkout it is next to the rules, otherwise it is installed."""

import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

RULES = workflow.current_basedir  # a folder, or one in a git repository
SCRIPTS = Path(RULES.get_path_or_uri(secret_free=True)).parent / "scripts"

if SCRIPTS.is_dir():
    sys.path.insert(0, str(SCRIPTS))


def package():
    """Return what pip installs the package from, in the version of the rules."""
    if hasattr(RULES, "host"):
        return f"git+https://{RULES.host}/{RULES.repo}@{RULES.ref}"
    if hasattr(RULES, "repo_path"):
        return f"git+file://{Path(RULES.repo_path).absolute()}@{RULES.ref}"
    return str(SCRIPTS.parents[1]) if SCRIPTS.is_dir() else "a checkout of the workflow"


try:
    from actionrec.utils import snakemake_internals as internals
except ImportError as error:
    raise WorkflowError(
        "The rules need the Python package actionrec, in their own version, where Snakemake is "
        f"installed. It cannot be imported there.\n  found:   {error}\n"
        f'  fix:     {sys.executable} -m pip install "{package()}"'
    ) from None

internals.mend_gitfile()
internals.mend_rescheduling()


def own_file(path):
    """Return a file of the workflow as an input; one from a local git repository has no time."""
    file = workflow.source_path(path)
    return ancient(file) if hasattr(RULES, "repo_path") else file
