"""Profiles of shapes on the machine at hand, tiny ones on a CPU. Times are real; no test depends on them."""

import json

import pytest
import torch
from torch import nn

from tessera.common import files
from tessera.puzzle.costs import profile
from tessera.puzzle.costs.lookup import child_cost
from tessera.puzzle.costs.params import Workload
from tessera.puzzle.stages import profile as puzzle_profile

CONFIG = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 128}
CONFIG |= {"num_key_value_heads": 2, "intermediate_size": 160}
pytestmark = pytest.mark.filterwarnings("ignore:.*lost in the noise:UserWarning")
WORKLOAD = Workload.model_validate({"batch": 1, "prefill": 16, "decode": 4})


@pytest.fixture(autouse=True)
def small_cache(monkeypatch):
    """Few copies of tiny blocks, instead of as many as overflow this machine's cache."""
    monkeypatch.setattr(profile.measured, "cache_bytes", lambda device: 2**18)


def test_shapes_and_their_spaces():
    large = profile.shape("llama-3.1-70b")
    assert (large.hidden_size, large.num_kv_heads, large.num_layers, large.intermediate_size) == (8192, 8, 80, 28672)
    names = profile.space(large)
    assert list(names.attentions()) == ["parent", "kv4", "kv2", "kv1", "linear", "no_op"]
    assert list(names.ffns()) == [
        *["parent", "ffn87", "ffn75", "ffn50", "ffn25", "ffn20", "ffn10", "linear", "no_op"]
    ]  # 6 x 9, the paper's
    assert list(profile.space(profile.shape("smollm2-135m")).attentions()) == ["parent", "kv1", "linear", "no_op"]
    with pytest.raises(ValueError, match=r"expected one of smollm2-135m, llama-3\.1-8b, llama-3\.1-70b, or the path"):
        profile.shape("gpt-2")


def test_command_writes_a_portable_table(tmp_path):
    (tmp_path / "tiny").mkdir()
    config = tmp_path / "tiny" / "config.json"
    config.write_text(json.dumps(CONFIG))
    puzzle_profile.main([str(config)], tmp_path, dtypes=["float32"], prefill=16, decode=4, repeats=2, threads=1)
    table = files.read_csv(tmp_path / "tiny-float32-cpu-b1-16-4.csv")
    about = files.read_json(tmp_path / "tiny-float32-cpu-b1-16-4.json")
    assert set(table.source) == {"measured"} and about["dtype"] == "float32" and about["threads"] == 1
    assert about["hardware"] == table.hardware[0] and "date" in about and about["workload"]["prefill"] == 16
    assert child_cost(table, ["kv1+ffn50", "no_op+linear"])["runtime_ms"] > 0  # it reads as any cost table
    with pytest.raises(ValueError, match="--dtypes: int4; expected some of float32"):
        puzzle_profile.main([str(config)], tmp_path, dtypes=["int4"])


@torch.no_grad()
def test_fp8_maps_are_near_the_exact_ones():
    generator = torch.Generator().manual_seed(0)
    exact = nn.Linear(64, 96, dtype=torch.bfloat16)
    exact.weight.data = torch.randn(96, 64, generator=generator).to(torch.bfloat16)
    x = torch.randn(2, 16, 64, generator=generator).to(torch.bfloat16)
    try:
        found = profile.Float8Linear(exact)(x)
    except (RuntimeError, NotImplementedError) as error:
        pytest.skip(f"torch has no fp8 GEMM here: {error}")
    wanted = exact(x).float()
    assert found.shape == wanted.shape and found.dtype == torch.bfloat16
    assert (found.float() - wanted).norm() / wanted.norm() < 0.06  # three bits of mantissa


def test_fp8_profile_or_its_refusal(monkeypatch):
    monkeypatch.setattr(profile.measured, "cache_bytes", lambda device: 1)  # such GEMMs are slow on CPUs
    shape = profile.from_config(CONFIG)
    variants = profile.Space(
        attention={"kv1": profile.Attention(kind="gqa", kv_heads=1)}, ffn={"half": profile.FFN(kind="gated", width=0.5)}
    )
    with pytest.raises(ValueError, match=r"must be multiples of 16, but channels of tenth = 24"):
        odd = profile.Space(attention={}, ffn={"tenth": profile.FFN(kind="gated", width=0.15)})
        profile.profile(shape, odd, "cpu", "fp8", workload=WORKLOAD)
    try:
        table = profile.profile(shape, variants, "cpu", "fp8", workload=WORKLOAD, repeats=2, threads=1)
    except ValueError as refusal:
        assert "torch has no such GEMM on cpu" in str(refusal)
        return
    rows = table.set_index(["subblock", "variant"])
    assert (rows.decode_ms > 0).all() and set(table.dtype) == {"fp8"} and set(table.source) == {"measured"}
    assert rows.loc[("ffn", "half"), "parameters_mib"] < rows.loc[("ffn", "parent"), "parameters_mib"]
    assert (table.runtime_ms == table.prefill_ms + table.decode_ms).all()
