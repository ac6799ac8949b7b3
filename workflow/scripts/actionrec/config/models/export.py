"""The section `export`: the deployable forms of a model."""

from typing import Literal

from actionrec.config.models.section import Section


class ExportConfig(Section):
    """The deployable forms of a model."""

    etlt: Literal["auto", "always", "never"] = "auto"
    """Also write the encrypted `.etlt`; `auto`: where NVIDIA's encryption is installed.

    NVIDIA's encryption runs in a small environment of Python 3.12 or 3.10 on x86-64. `make`, or
    `python -m actionrec.utils.environments encryption`, makes it where it finds such a Python. The
    key is taken from the environment variable `TAO_KEY`, by default TAO's public `nvidia_tao`.
    """
