"""What a number of right answers says: intervals, a baseline, and whether two models differ.

Each function is a few lines and names its source, so the report needs no statistics library.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb, sqrt

from actionrec.experiments.predictions import Prediction

Z95 = 1.959963984540054  # the normal distribution has 95 % of its mass within so many deviations
FEW_VIDEOS = 100  # below, an interval is more than 20 points wide in the middle
ALPHA = 0.05  # a difference with a smaller p-value counts as shown
ONE_CLASS = 0.8  # share of all answers, and of the other classes' videos, that is a warning


def wilson_interval(share: float, number: int, z: float = Z95) -> tuple[float, float]:
    """Return the confidence interval of a share of `number` trials, both between 0 and 1.

    Wilson, "Probable inference, the law of succession, and statistical inference", 1927. Unlike
    the normal approximation it holds for few trials and for shares near 0 and 1.
    """
    if number == 0:
        return 0.0, 1.0
    scale = 1 + z * z / number
    centre = (share + z * z / (2 * number)) / scale
    half = z / scale * sqrt(share * (1 - share) / number + (z / (2 * number)) ** 2)
    return max(0.0, centre - half), min(1.0, centre + half)


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p-value that two models are equally good on the same videos.

    `only_first` and `only_second` count the videos that only one of them has right. McNemar, "Note
    on the sampling error of the difference between correlated proportions", 1947, as the exact
    binomial test: if the models are equal, each such video is a toss of a fair coin.
    """
    number, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(comb(number, k) for k in range(fewer + 1))
    return min(1.0, 2 * tail / 2**number)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number, in the same order.

    Holm, "A simple sequentially rejective multiple test procedure", 1979: among twelve
    experiments there are 66 pairs, of which three differ "significantly" by chance.
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = largest
    return adjusted


@dataclass(frozen=True)
class Accuracy:
    """A share of right answers in percent, with its 95 % confidence interval.

    `videos` is the number of different test videos, by which the interval is computed: splits that
    share test videos make it no narrower.
    """

    percent: float
    low: float
    high: float
    videos: int


def accuracy(correct: Mapping[Hashable, Sequence[bool]]) -> Accuracy:
    """Return the accuracy over videos; a video that is in several splits has several answers."""
    answers = [answer for of_video in correct.values() for answer in of_video]
    share = sum(answers) / len(answers) if answers else 0.0
    low, high = wilson_interval(share, len(correct))
    percent, low, high = (round(100 * value, 3) for value in (share, low, high))
    return Accuracy(percent, low, high, len(correct))


@dataclass(frozen=True)
class Comparison:
    """How many of the same test videos only one of two experiments has right.

    `p` is McNemar's, `p_adjusted` by Holm for all comparisons of the dataset.
    """

    better: str
    worse: str
    videos: int
    only_better: int
    only_worse: int
    p: float
    p_adjusted: float = 1.0

    @property
    def shown(self) -> bool:
        """Tell whether the difference is more than chance explains."""
        return self.p_adjusted < ALPHA


# Of each video in how many splits, by their numbers, it is answered rightly.
Answers = Mapping[Hashable, Mapping[int, bool]]


def compare(first: str, second: str, answers: Mapping[str, Answers]) -> Comparison | None:
    """Return the comparison of two experiments on the videos that both were tested on.

    A video counts once, for the experiment that has it right in more splits: answers to one video
    are not independent, and McNemar's test takes them to be. None if there is no such video.
    """
    one, other = answers[first], answers[second]
    balance = [
        sum(one[video][split] - other[video][split] for split in shared)
        for video in one
        if (shared := one[video].keys() & other.get(video, {}).keys())
    ]
    only_one, only_other = sum(b > 0 for b in balance), sum(b < 0 for b in balance)
    if not balance:
        return None
    p = mcnemar(only_one, only_other)
    if only_other > only_one:
        return Comparison(second, first, len(balance), only_other, only_one, p)
    return Comparison(first, second, len(balance), only_one, only_other, p)


def majority(predictions: Iterable[Prediction]) -> tuple[str, float]:
    """Return the most frequent true class and its share: what answering it always would reach."""
    labels = Counter(p.label for p in predictions)
    if not labels:
        return "", 0.0
    label, number = min(labels.items(), key=lambda item: (-item[1], item[0]))
    return label, number / labels.total()


def one_class(predictions: Sequence[Prediction]) -> tuple[str, float] | None:
    """Return the class that a model answers for nearly everything and its share of the answers.

    Nearly everything: it takes `ONE_CLASS` of the videos of all other classes too, so that it is
    not just the class that most videos have. None if there is no such class.
    """
    answers = Counter(p.prediction for p in predictions)
    if not answers:
        return None
    ((label, number),) = answers.most_common(1)
    others = [p for p in predictions if p.label != label]
    taken = sum(p.prediction == label for p in others)
    if others and taken >= ONE_CLASS * len(others) and number >= ONE_CLASS * len(predictions):
        return label, number / len(predictions)
    return None
