"""The split of documents by the hash of their titles."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from tessera.data.split import SPLITS, split

titles = st.text(max_size=40)
percents = st.integers(0, 50)


@given(titles, percents, percents)
def test_by_the_definition(title, test, valid):
    percentile = int(hashlib.sha256(f"speeches|{title}".encode()).hexdigest(), 16) % 100
    expected = "test" if percentile < test else "valid" if percentile < test + valid else "train"
    assert split("speeches", title, test, valid) == expected


@given(titles, percents, percents)
def test_a_lead_and_its_article_fall_on_the_same_side(title, test, valid):
    assert split("wiki_leads", title, test, valid) == split("wiki_articles", title, test, valid)


@given(titles, percents, percents, percents)
def test_what_is_held_out_stays_so_when_more_is(title, test, valid, more):
    if split("chat", title, test, valid) == "test":
        assert split("chat", title, min(50, test + more), valid) == "test"
    if split("chat", title, test, valid) != "train":
        assert split("chat", title, test, valid + more) != "train"


def test_shares_are_as_asked():
    found = [split("recipes", f"recipe {i}", 5, 10) for i in range(20000)]
    shares = {name: found.count(name) / len(found) for name in SPLITS}
    # Five standard errors of a share of 0.15 in 20,000 draws.
    for name, expected in {"train": 0.85, "valid": 0.10, "test": 0.05}.items():
        assert abs(shares[name] - expected) < 0.013


def test_sources_split_independently():
    both = sum(split("chat", str(i), 50, 0) == split("recipes", str(i), 50, 0) for i in range(4000))
    assert abs(both / 4000 - 0.5) < 0.04
