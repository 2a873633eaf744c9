"""Which children serve the workload."""

import pytest

from tessera.puzzle.studies.validity.children import evenly


@pytest.mark.parametrize(
    ("values", "count", "places"),
    [
        ([3.0, 1.0, 2.0], 5, [1, 2, 0]),
        ([3.0, 1.0, 2.0, 5.0, 4.0], 3, [1, 0, 3]),
        ([2.0, 2.0, 1.0], 3, [2, 0, 1]),
        ([7.0, 8.0], 1, [0]),
    ],
)
def test_places_are_spread_evenly_over_the_ranks(values, count, places):
    assert evenly(values, count) == places
