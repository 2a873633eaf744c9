"""The stage that makes a cost table."""

import json

from tessera.common import files
from tessera.puzzle.stages import costs_target as costs

CONFIG = {
    "model_type": "llama",
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 256,
    "vocab_size": 512,
}
PARAMS = {
    "space": {"attention": {"no_op": {"kind": "no_op"}}, "ffn": {"half": {"kind": "gated", "width": 0.5}}},
    "target": {
        "source": "kernel-database",
        "hardware": "h100-sxm",
        "dtype": "bfloat16",
        "workload": {"batch": 4, "prefill": 16, "decode": 4},
    },
}


def test_same_bytes_and_no_date_unless_measured(tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(CONFIG))
    params = costs.Params.model_validate_json(json.dumps(PARAMS))
    written = []
    for name in ("first", "second"):
        table, info = tmp_path / f"{name}.parquet", tmp_path / f"{name}.json"
        costs.main(params, config, table, info)
        written.append((table.read_bytes(), info.read_bytes()))
    assert written[0] == written[1]
    about = files.read_json(info)
    assert set(about) == {"target", "hardware", "software"}
    assert about["software"] == "trtllm 1.3.0rc20"
    assert list(files.read_parquet(table).variant) == ["parent", "no_op", "parent", "half", "-"]
