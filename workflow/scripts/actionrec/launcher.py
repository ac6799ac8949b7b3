"""NVIDIA's TAO launcher, in an environment of the Python that it needs.

`python -m actionrec.launcher` makes that environment, inside the one that it runs in.
"""

import sys

from actionrec.errors import InputError
from actionrec.utils.environments import Environment, prepare

LAUNCHER = Environment(
    name="launcher",
    pythons=("3.11", "3.10", "3.9", "3.8"),
    purpose="NVIDIA's TAO launcher",
    prepare="python -m actionrec.launcher",
    otherwise="set tao.runner: docker",
)

if __name__ == "__main__":
    try:
        prepare(LAUNCHER)
    except InputError as error:
        sys.exit(str(error))
