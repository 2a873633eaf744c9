"""Counts of the chain: beside modules, files and torch's own count of FLOPs."""

import pytest
import tiny_models
import torch
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from tessera import params as parameters
from tessera.common import files
from tessera.puzzle.model_cli import app
from tessera.puzzle.models import architecture, loading, sizes
from tessera.puzzle.models.space import FFN


@pytest.fixture
def settings(repository, variants):
    return parameters.load(repository / "params.yaml").puzzle.model_copy(update={"space": variants})


def test_forward_is_what_torch_counts(parent, settings):
    a = architecture.read(parent())
    window = settings.calibration.window
    model = loading.load(parent())
    assert len(model.layers) == 3  # which are run once to be taken apart
    with FlopCounterMode(display=False) as counted, torch.no_grad():
        model.last(torch.zeros(1, window, dtype=torch.long))
    step = sizes.steps(a, settings)[0]
    # torch counts no fused attention on a CPU.
    scores = a.num_layers * 4 * a.num_heads * a.head_dim * window / 2
    seen = settings.calibration.tokens + settings.library.valid_windows * window
    mine = step.flops / seen - scores
    norms = 2 * 2 * a.num_layers * a.hidden_size  # counted by us as weights
    assert mine == pytest.approx(counted.get_total_flops() / window + norms, rel=1e-9)


def test_of_a_mixture_a_token_meets_the_active_experts(tmp_path):
    tiny_models.network("mixtral").save_pretrained(tmp_path)
    mixture = architecture.read(tmp_path)
    layer = loading.load(tmp_path).module(0)
    experts = sum(p.numel() for p in layer.mlp.parameters() if p.ndim == 3)
    count = next(len(p) for p in layer.mlp.parameters() if p.ndim == 3)
    rest = sum(p.numel() for p in layer.mlp.parameters() if p.ndim < 3) + mixture.hidden_size  # router and norm
    assert sizes.met(mixture, FFN(kind="gated")) == pytest.approx(rest + experts * 2 / count)
    assert sizes.met(mixture, FFN(kind="gated", active=1)) == pytest.approx(rest + experts / count)
    half = sizes.met(mixture, FFN(kind="gated", experts=0.5))
    assert half == pytest.approx(sizes.met(mixture, FFN(kind="gated")), rel=0.1), (
        "fewer to choose from, as many are met"
    )


def test_disk_is_that_of_the_library(library, parent, settings):
    written = sum(
        tensor.numel() * tensor.element_size()
        for directory in library()
        for path in directory.glob("*.safetensors")
        for tensor in files.load_tensors(path).values()
    )
    step = sizes.steps(architecture.read(parent()), settings)[1]
    assert step.disk == pytest.approx(written, rel=0.03)  # the norms of linear maps, which have none


def test_growth(parent, settings):
    a = architecture.read(parent())
    twice = settings.model_copy(
        update={"calibration": settings.calibration.model_copy(update={"tokens": 2 * settings.calibration.tokens})}
    )
    one, two = sizes.steps(a, settings), sizes.steps(a, twice)
    text = settings.calibration.tokens
    held_out = settings.library.valid_windows * settings.calibration.window
    for name in ("flops", "disk"):
        assert getattr(two[0], name) / getattr(one[0], name) == pytest.approx((2 * text + held_out) / (text + held_out))
    assert [step.memory for step in two] == [step.memory for step in one]
    assert two[2:] == one[2:]


def test_variants_that_the_parent_lacks(parent, repository):
    with pytest.raises(ValueError, match="kv_heads is 4"):
        sizes.steps(
            architecture.from_config({**files.read_json(parent() / "config.json"), "num_key_value_heads": 1}, "x"),
            parameters.load(repository / "params.yaml", repository / "params/paper.yaml").puzzle,
        )


def test_command(repository):
    call = ["sizes", "llama-3.1-8b", "--params", str(repository / "params.yaml")]
    told = CliRunner().invoke(app, call, env={"COLUMNS": "200"})
    assert told.exit_code == 0, told.output
    assert "block library" in told.output
    refused = CliRunner().invoke(app, ["sizes", "llama-9"])
    assert refused.exit_code == 1 and "expected one of smollm2-135m" in refused.output
