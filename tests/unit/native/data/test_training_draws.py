"""What is foreseen of a training's draws is what its clips draw."""

import pytest

from actionrec.native.data import training_draws
from actionrec.native.data.training_draws import TrainingDraws
from helpers.engine import tiny_spec


@pytest.mark.parametrize("lengths", [(3,), (8, 2)])
@pytest.mark.parametrize("strategy", ["random_interval", "consecutive"])
@pytest.mark.parametrize(("at_once", "passes"), [(1, 4), (6, 2), (100, 1)])
def test_upcoming_frames_are_those_that_the_clips_draw(
    lengths, strategy, at_once, passes, monkeypatch
):
    monkeypatch.setattr(training_draws, "CLIPS_AT_ONCE", at_once)
    model = tiny_spec(model={"sample_strategy": strategy}).model
    counts = [40, 25, 7]
    draws = TrainingDraws(counts, model, lengths, seed=5, clips_per_video=2, epochs=8)
    assert len(draws) == 6
    draws.epoch = 3
    for place in range(len(lengths)):
        for video in range(len(counts)):
            drawn = {
                epoch: {
                    frame
                    for clip in range(6)
                    if draws.video_of((epoch, clip)) == video
                    for frame in draws.draw((epoch, clip))[0][place].tolist()
                }
                for epoch in range(8)
            }
            soon, *later = [set(ids.tolist()) for ids in draws.upcoming(place, video)]
            assert soon == drawn[3]
            assert len(later) == passes
            assert set.union(*later) == drawn[4] | drawn[5] | drawn[6] | drawn[7]


def test_nothing_comes_after_the_last_epoch():
    draws = TrainingDraws([9], tiny_spec().model, [3], seed=5, clips_per_video=1, epochs=2)
    draws.epoch = 1
    assert len(list(draws.upcoming(0, 0))) == 1
