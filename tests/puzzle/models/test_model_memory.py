"""What steps hold, against what is there, and refusals of what does not fit."""

from types import SimpleNamespace

import pytest
import tiny_models
import torch

from tessera import params as parameters
from tessera.puzzle import compute
from tessera.puzzle.models import architecture, loading, memory
from tessera.puzzle.models.memory import Memory
from tessera.puzzle.models.space import Space

CPU = torch.device("cpu")


@pytest.fixture
def settings(repository):
    return parameters.load(repository / "params.yaml").puzzle


def size(directory):
    return 4 * sum(p.numel() for p in loading.load(directory).parameters())


def test_activations(parent, settings):
    needs = memory.activations(architecture.read(parent()), settings.calibration, 8)
    window = 512 * 32 * 4
    assert needs.held == {"parent": size(parent()), "states": 2 * 3 * window}
    assert needs.disk == 3 * (settings.calibration.tokens // 512 + 8) * window / 2  # of one of two shards


def test_a_library_that_streams_has_its_states_before_two_layers(parent, variants, settings):
    shape, library = architecture.read(parent()), settings.library
    streamed = library.model_copy(update={"stream": True})
    states = (settings.calibration.tokens // 512 + 8) * 512 * 32 * 4
    assert memory.library(shape, variants, library, settings.calibration).disk == 2 * states
    assert memory.library(shape, variants, streamed, settings.calibration).disk == 4 * states


def test_healing(parent, variants, settings):
    shape, heal = architecture.read(parent()), settings.heal
    whole, layer = size(parent()), 4 * memory.layer(shape)

    def held(blocks=None, **changes):
        params = heal.model_copy(update=changes)
        return memory.healing(shape, variants, params, params.full, 256, blocks).held

    own = held()
    assert (own["parent"], own["child"], own["gradients"], own["moments"]) == (whole, whole, 3 * layer, 6 * layer)
    assert held(train="all")["gradients"] == whole
    assert held(optimiser_states="8bit")["moments"] == pytest.approx(6 * layer / 4, rel=0.02)
    assert held(processes=2)["child"] == whole / 2
    assert held(gradient_checkpointing=True)["activations"] < own["activations"]
    fewer = held(["no_op+no_op", "parent+linear", "parent+parent"], train="replaced")
    assert fewer["gradients"] == 4 * (32 * 32 + 32) and fewer["child"] < whole - layer


def test_evaluation(parent):
    shape = architecture.read(parent())
    one, two = (memory.evaluation(shape, 64, models).held for models in (1, 2))
    assert one["parent"] == one["children"] == size(parent()) and two["children"] == 2 * size(parent())
    assert one["batch"] < two["batch"] < 2 * one["batch"]


def test_active_experts_of_a_mixture(tmp_path, parent, settings):
    tiny_models.network("mixtral").save_pretrained(tmp_path)
    mixture = architecture.read(tmp_path)
    assert (memory.active_experts(mixture), memory.active_experts(architecture.read(parent()))) == (2, 1)
    space = Space.model_validate({"attention": {}, "ffn": {"half": {"kind": "gated", "experts": 0.5}}})
    held = memory.library(mixture, space, settings.library, settings.calibration).held
    layer = loading.load(tmp_path).module(0)
    assert held["layer"] == 4 * sum(p.numel() for p in layer.parameters())


def test_what_surely_does_not_fit_is_refused(monkeypatch, tmp_path, capsys):
    gib = 2**30
    needs = Memory({"parent": 2 * gib, "moments": 3 * gib, "work": 90 * gib}, ("parent", "moments"), 4 * gib)
    monkeypatch.setattr(compute, "free", lambda device: (1 * gib, 6 * gib))
    monkeypatch.setattr(memory.shutil, "disk_usage", lambda path: SimpleNamespace(free=4 * gib))
    memory.announce("healing", needs, CPU, tmp_path / "new/child")
    assert capsys.readouterr().out == (
        "healing: at most 95.00 GiB on cpu (parent 2.00, moments 3.00, work 90.00), where 1.00 GiB are free; "
        "4.00 GiB of files, where 4.00 GiB are free\n"
    )
    monkeypatch.setattr(compute, "free", lambda device: (1 * gib, 4 * gib))
    with pytest.raises(ValueError, match=r"healing: parent and moments need 5\.00 GiB, but cpu has 4\.00 GiB"):
        memory.announce("healing", needs, CPU, tmp_path)
    monkeypatch.setattr(compute, "free", lambda device: (9 * gib, 9 * gib))
    monkeypatch.setattr(memory.shutil, "disk_usage", lambda path: SimpleNamespace(free=3 * gib))
    with pytest.raises(ValueError, match=r"child: healing need 4\.00 GiB of disk, but 3\.00 GiB are free.*stream"):
        memory.announce("healing", needs, CPU, tmp_path / "child")
