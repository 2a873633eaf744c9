"""Series of speech as spike patterns."""

import numpy as np
import pytest

from tessera.data import speech

TS = "# about\n@problemName toy\n@data\n1.0,2.0,3.0:0.5,0.5,0.5:1\n-1,-2:4,5:2\n"


def test_parse_ts():
    series, labels = speech.parse_ts(TS)
    assert [one.shape for one in series] == [(2, 3), (2, 2)] and labels.tolist() == [1, 2]
    with pytest.raises(ValueError, match=r"toy\.ts, line 4"):
        speech.parse_ts(TS.replace("2.0", "two"), "toy.ts")
    with pytest.raises(ValueError, match="no series"):
        speech.parse_ts("@data\n")


def test_level_crossings_by_hand():
    series = [np.array([[0.0, 2.0, 1.0, 3.0]])]
    spikes = speech.level_crossings(series, np.array([[-1.0, 0.5, 1.5]]), frame=10.0, duration=40.0)
    # -1 at onset; 0.5 and 1.5 on the first rise; 1.5 again on the second
    assert spikes.times == pytest.approx([0, 2.5, 7.5, 22.5])
    assert spikes.neurons.tolist() == [0, 1, 2, 2]


def test_levels_are_quantiles_of_each_channel():
    series = [np.vstack([np.arange(101.0), 10 * np.arange(101.0)])]
    assert speech.crossing_levels(series, 3) == pytest.approx(np.array([[25, 50, 75], [250, 500, 750]]))
