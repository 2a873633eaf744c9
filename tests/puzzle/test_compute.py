"""Where the chain computes: devices that are there, and a lower precision only where it is faster."""

import tempfile
from types import SimpleNamespace

import pytest
import torch

from tessera.puzzle import compute
from tessera.puzzle.params import ComputeParams


@pytest.fixture
def autocast():
    """Leave torch's state as it was."""
    before = torch.is_autocast_enabled("cpu"), torch.is_autocast_cache_enabled()
    yield
    torch.set_autocast_enabled("cpu", before[0])
    torch.set_autocast_cache_enabled(before[1])


@pytest.mark.parametrize(
    ("there", "device", "expected"), [(True, "auto", "cuda"), (False, "auto", "cpu"), (True, "cpu", "cpu")]
)
def test_device_by_name(monkeypatch, there, device, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert compute.name(ComputeParams(device=device)) == expected


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"puzzle\.compute\.device = cuda: torch finds no GPU; expected cpu or auto"):
        compute.start(ComputeParams(device="cuda"))


def test_float32_is_torchs_own(autocast):
    assert compute.start(ComputeParams()) == torch.device("cpu")
    assert not torch.is_autocast_enabled("cpu")


def test_bfloat16_where_it_is_faster(monkeypatch, autocast):
    rates = {torch.bfloat16: 90.0, torch.float32: 40.0}
    monkeypatch.setattr(compute, "rate", lambda device, dtype: rates[dtype])
    compute.start(ComputeParams(dtype="bfloat16"))
    x = torch.ones(2, 2)
    assert (x @ x).dtype == torch.bfloat16 and x.softmax(-1).dtype == torch.float32
    layer = torch.nn.Linear(2, 2)
    before = layer(x)
    layer.weight.data.zero_()
    assert not torch.equal(layer(x), before)  # no copy of the weights is kept


def test_bfloat16_where_it_is_slower_is_refused_with_both_rates(monkeypatch, autocast):
    rates = {torch.bfloat16: 1.2, torch.float32: 50.0}
    monkeypatch.setattr(compute, "rate", lambda device, dtype: rates[dtype])
    with pytest.raises(ValueError, match=r"cpu multiplies at 1\.2 GFLOP/s in bfloat16 and at 50\.0 in float32"):
        compute.start(ComputeParams(dtype="bfloat16"))
    assert not torch.is_autocast_enabled("cpu")


def test_rate_is_a_rate():
    assert 0.1 < compute.rate(torch.device("cpu"), torch.float32, 0.01) < 1e5


def test_jobs_that_run_at_once_have_gpus_of_their_own(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=f"gpu{index}"))
    monkeypatch.setattr(compute, "_CLAIMED", claimed := [])
    assert [compute.free_gpus(1) for _ in range(3)] == [[0], [1], [0]]  # a third job shares the first
    claimed.pop().close()
    assert compute.free_gpus(1) == [1]


def test_a_job_of_whole_models_has_several_gpus(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", lambda index: None)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=f"gpu{index}"))
    monkeypatch.setattr(compute, "_CLAIMED", [])
    two = ComputeParams(device="cuda", gpus=2)
    assert [[device.index for device in compute.start_all(two)] for _ in range(2)] == [[0, 1], [2, 3]]
    assert [device.index for device in compute.start_all(two)] == [0, 1]  # shared, since none is free
    with pytest.raises(ValueError, match=r"puzzle\.compute\.gpus = 8: torch finds 4; expected at most 4"):
        compute.start_all(ComputeParams(device="cuda", gpus=8))
    with pytest.raises(ValueError, match=r"gpus = 2, but device = cpu; expected device = cuda, or gpus = 1"):
        ComputeParams(gpus=2)
    assert compute.start_all(ComputeParams()) == [torch.device("cpu")]


def test_memory_is_what_is_asked_for_or_free(monkeypatch):
    cpu, gpu = torch.device("cpu"), torch.device("cuda", 0)
    assert compute.memory(ComputeParams(memory=1.5), gpu) == 1.5 * 2**30
    monkeypatch.setattr(compute.psutil, "virtual_memory", lambda: SimpleNamespace(available=10, total=40))
    assert compute.memory(ComputeParams(), cpu) == 5
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100, 1000))
    assert compute.memory(ComputeParams(), gpu) == 90
