from pathlib import Path

import pytest

from tessera.common import publish


def test_known_names_in_any_place() -> None:
    publish.check("figures", [Path("a/one.svg"), Path("two.svg")], ["one", "two", "three"])


def test_unknown_names_are_told_with_the_valid_ones() -> None:
    with pytest.raises(ValueError, match=r"--tables: there is no four\.csv; valid are one, two"):
        publish.check("tables", [Path("one.csv"), Path("four.csv")], ["one", "two"])
