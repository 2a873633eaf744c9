"""The result files of the main chain, read."""

import pytest

from tessera import params
from tessera.puzzle.report.results import read


@pytest.fixture(scope="session")
def results(chain, repository):
    return read(params.load(repository / "params.yaml").puzzle, seed=3, **chain)
