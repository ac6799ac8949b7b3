"""Read what a TAO task printed: the accuracies of evaluate, the predictions of inference.

The only evidence that TAO 3.21.11 to 4.0.1 leave of an evaluation, and that every TAO leaves of an
inference. TAO's entrypoint (5.5 to 7.3) turns line ends into carriage returns, and glues the first
line to the progress bar.
"""

import ast
import re
from collections import Counter
from pathlib import Path

_ACCURACIES = {"accuracy": "Total accuracy", "m_accuracy": "Average class accuracy"}
# `/path/to/video : ['label', ...]`; a path may hold spaces and colons, and may be relative.
_PREDICTION = re.compile(r"(/[^\r\n]*?|[^\s/][^\r\n]*?/[^\r\n]*?) : (\[[^\]]*\])")
_LINE_END = re.compile(r"[\r\n]+")
_LINE_END_OR_BAR = re.compile(r"[\r\n]+|(?<=it/s\])|(?<=s/it\])")


def read_accuracies(output: str) -> dict[str, float]:
    """Return the percentages that an evaluation printed below its table; empty without both."""
    found = {}
    for key, title in _ACCURACIES.items():
        if matches := re.findall(rf"{title}: (\d+(?:\.\d+)?)", output):
            found[key] = float(matches[-1])
    return found if found.keys() == _ACCURACIES.keys() else {}


def read_predictions(output: str) -> dict[str, str]:
    """Return video folder's name -> predicted label; the clips of one video vote."""
    found = {}
    for line in _LINE_END_OR_BAR.split(output):
        for path, labels in _PREDICTION.findall(line):
            votes = Counter(ast.literal_eval(labels))
            found[Path(path).name] = votes.most_common(1)[0][0]
    return found


def last_lines(output: str) -> str:
    """Return the end of what a task printed, as part of a message."""
    lines = [line for line in _LINE_END.split(output) if line.strip()]
    if not lines:
        return "it printed nothing"
    return "the last lines of its output are\n    " + "\n    ".join(lines[-8:])
