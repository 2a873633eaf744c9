"""The whole command on a tiny model: killed, resumed, and to the card. Minutes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_tasks import with_tokenizer
from tiny_models import network

from tessera.common import files


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_from_a_directory_to_a_card(tmp_path):
    network("llama", num_key_value_heads=2).save_pretrained(tmp_path / "bare")
    model = with_tokenizer(tmp_path / "bare", tmp_path / "model")
    files.write_json(model / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})
    rows = ({"text": f"note {n}: " + " ".join(f"{n * k % 997}" for k in range(60))} for n in range(150))
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = "--target h200-roofline --speedup 1.2 --budget-minutes 1 --out out --json --cores 2"
    call = "from tessera.cli import app; app()"
    command = [sys.executable, "-c", call, "puzzle", "compress", str(model), "--text", "notes.jsonl", *options.split()]
    out, environment = tmp_path / "out", os.environ | {"PYTHONUNBUFFERED": "1"}

    killed = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not (out / "data/puzzle/library").is_dir() and killed.poll() is None:
        time.sleep(0.2)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    parent = (out / "data/parent/model.safetensors").stat().st_mtime_ns

    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (out / "data/parent/model.safetensors").stat().st_mtime_ns == parent
    assert answer["result"]["predicted"]["speedup"] >= 1.2
    assert {*answer["result"]["tasks"]} == {"agreement_simple", "goal_inference", "phrase_relatedness"}
    card = Path(answer["result"]["child"], "README.md").read_text()
    assert "## Scores" in card and "## Tasks" in card and "## Samples" in card and str(tmp_path) not in card
