"""The section `flow`: how optical flow is made."""

from typing import Annotated, Literal

from actionrec.config.models.section import PathText, Section, Shown


class FlowConfig(Section):
    """How the optical flow of experiments with `model_type: of` or `joint` is made."""

    method: Literal["dis", "farneback", "tvl1", "flo"] = "dis"
    """The algorithm; `flo`: read from files, nothing is computed.

    `dis`: accurate and fast. `farneback`: the classic, half as fast, equal in all OpenCV versions.
    `tvl1`: over a hundred times slower, only to compare with work that used it.
    """
    preset: Literal["ultrafast", "fast", "medium"] = "medium"
    """Preset of `dis`: `ultrafast` is about ten times faster than `medium`, and coarser."""
    mapping: Literal["max_rad", "fixed"] = "max_rad"
    """How pixels of motion become grey levels.

    `max_rad`: the longest motion of each pair is the full range, as in NVIDIA's recipe. `fixed`: 20
    pixels are the full range, as in I3D's data, so that speeds stay comparable between pairs.
    """
    path: Annotated[PathText | None, Shown("a path")] = None
    """For `flo`: the folder of `<class>/<video>/*.flo`.

    There is one file for each pair of frames, in the order of the numbers in their names, as
    NVIDIA's optical flow SDK writes them (`AppOFCuda`, grid size 1). After a change to them:
    `snakemake --forcerun extract_flow`.
    """
