"""The examples in the studies' READMEs run as they stand, and give what the text promises."""

import re

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pytest


def run(repository, study: str, heading: str = "") -> dict:
    """The names that the first Python block below a heading leaves behind."""
    text = (repository / f"src/tessera/{study}/README.md").read_text()
    code = re.search(r"```python\n(.*?)```", text[text.index(heading) :], re.DOTALL)
    assert code
    names: dict = {}
    exec(code[1], names)
    plt.close("all")
    return names


@pytest.mark.parametrize("study", ["tempotron", "tsvm", "balanced"])
def test_first_example(repository, study):
    run(repository, study)


def test_own_spikes_of_a_tempotron(repository):
    names = run(repository, "tempotron", "# Your own spikes")
    model, X, labels = names["model"], names["X"], names["labels"]
    assert model.status_ == "solved" and X.shape == (60, 40) and model.score(X, labels) == 1
    assert names["cross_val_score"](model, X, labels, cv=5).mean() > 0.9
    assert model.classes_[1] == "odour B"


def test_own_spikes_of_a_tsvm(repository):
    names = run(repository, "tsvm", "# Your own spikes")
    model, X, y = names["model"], names["X"], names["y"]
    assert model.status_ == "certified" and model.score(X, y) == 1


def test_own_spikes_of_a_balanced_perceptron(repository):
    names = run(repository, "balanced", "# Your own spikes")
    model = names["model"]
    assert model.status_ == "optimal" and model.certificate_.gap <= 1e-6
    assert names["cross_val_score"](model, names["counts"], names["labels"]).mean() > 0.9
