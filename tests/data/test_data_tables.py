"""The dataset tables, and the copy in data/README.md."""

from pathlib import Path

import pandas as pd
from test_packages import PINS

from tessera.data import packages, tables

README = Path(__file__).parents[2] / "data/README.md"


def test_counts_by_split_and_source():
    documents = pd.DataFrame(
        {
            "split": ["train", "train", "ood", "train"],
            "source": ["chat", "chat", "owt", "recipes"],
            "characters": [10, 20, 5, 1000],
            "length": [3, 4, 2, 250],
        }
    )
    shared = pd.Series({("ood", "owt"): 7})
    found = tables.counts(documents, shared)
    assert found["train"]["chat"] == {"documents": 2, "characters": 30, "tokens": 7, "sharing": 0}
    assert found["ood"]["owt"] == {"documents": 1, "characters": 5, "tokens": 2, "sharing": 7}
    lines = tables.documents(found).splitlines()
    assert "| train | **all** | 3 | 1,030 | 257 | 0 |" in lines
    assert "| ood | owt | 1 | 5 | 2 | 7 |" in lines


def test_the_readme_holds_the_table_of_the_pinned_packages():
    assert tables.packages(packages.read(PINS)) in README.read_text(encoding="utf-8")
