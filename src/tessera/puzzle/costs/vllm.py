"""Costs measured in vLLM with the plugin of plugins/vllm, on this machine's CPU or GPU.

What is timed are stacks of layers: see `layer_times`. Every stack has an engine of its own, one after the other in one
process of an environment that has vLLM, which need not be this one (`tessera_vllm.timing`): times of different stacks
are minutes apart, and a drift of the machine does not cancel.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from tessera.common import files
from tessera.common.progress import track
from tessera.puzzle import child
from tessera.puzzle.costs import layer_times, measured, stacks
from tessera.puzzle.costs.layer_times import OWN
from tessera.puzzle.costs.params import CostTarget
from tessera.puzzle.costs.tables import Row
from tessera.puzzle.costs.timing import Marginal, Piece, summary, upper_bound
from tessera.puzzle.models.architecture import Architecture
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.loading import BLOCKS
from tessera.puzzle.models.space import FFN, Attention
from tessera.puzzle.serve.vllm import FAMILIES

#: Of the process on a CPU, unless the environment says otherwise: GiB of KV cache, and no threads bound to cores.
ON_CPU = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
#: Rounds of one engine, if the target does not say.
REPEATS = 15


def times(architecture: Architecture, rows: Sequence[Row], target: CostTarget) -> tuple[dict[Row, dict], str, str]:
    """Times, spread and provenance of every row, and the names of hardware and software.

    Raises ValueError if the plugin was not tried with the family, and RuntimeError, with its last words, if vLLM fails.
    """
    timed = layer_times.layers(architecture, rows, target, _refusal)
    with measured.using_threads(target.threads):
        hardware = measured.machine(torch.device(target.hardware))
    few = min(stacks.FEW_TOKENS, architecture.vocab_size)
    every = [(pair, n, few) for pair in timed.names for n in (timed.copies[pair], 2 * timed.copies[pair])]
    every.append((OWN, timed.copies[OWN], architecture.vocab_size))
    with tempfile.TemporaryDirectory() as directory:
        places = [Path(directory) / str(number) for number in range(len(every))]
        for place, (pair, n, vocabulary) in zip(places, every, strict=True):
            write(architecture, stacks.stack(architecture, *pair, n, vocabulary), place, target.dtype)
        vocabularies = [vocabulary for _, _, vocabulary in every]
        rounds = target.repeats or REPEATS
        answer = run(places, vocabularies, target, rounds, Path(directory), "costs in vLLM")
    *of_layers, whole = answer["models"]
    blocks: dict[layer_times.Timed, Marginal] = {}
    for number, pair in enumerate(timed.names):
        once, twice = of_layers[2 * number : 2 * number + 2]
        for phase in once:
            samples = list(zip(once[phase], twice[phase], strict=True))
            found = summary(samples, timed.copies[pair])
            piece = Piece(f"{timed.names[pair]} {phase}", timed.copies[pair], int)
            blocks[pair, phase] = found if found.seconds > 0 else upper_bound(samples, piece)
    costs = layer_times.costs(rows, timed, blocks, whole, target.workload)
    return costs, hardware, f"vLLM {answer['version']}"


def _refusal(architecture: Architecture, attention: Attention, ffn: FFN) -> str | None:
    family = architecture.config.model_type
    if family in FAMILIES:
        return None
    return f"vLLM's plugin was not tried with model_type {family!r}; expected one of {', '.join(FAMILIES)}"


def write(architecture: Architecture, model: LanguageModel, place: Path, dtype: str) -> None:
    """A stack as the directory of a child that vLLM reads."""
    config, layers = architecture.config.to_dict(), len(model.layers)
    whole = {key: value for key, value in config.items() if key not in (BLOCKS, "per_layer_config", "auto_map")}
    whole |= {"num_hidden_layers": layers, "vocab_size": model.config.vocab_size}
    if whole.get("layer_types"):
        whole["layer_types"] = whole["layer_types"][:1] * layers
    with tempfile.TemporaryDirectory() as parent:
        files.write_json(Path(parent) / "config.json", whole)
        child.save(_unshared(model, dtype), parent, place)


class _Copied(LanguageModel):
    """A model of which every layer has weights of its own where it is saved."""

    dtype: torch.dtype

    def state(self) -> dict[str, torch.Tensor]:
        return {name: value.to(self.dtype, copy=True) for name, value in super().state().items()}


def _unshared(model: LanguageModel, dtype: str) -> LanguageModel:
    copied = _Copied(model.network)
    copied.dtype = getattr(torch, dtype)
    return copied


def run(
    models: Sequence[Path],
    vocabularies: Sequence[int],
    target: CostTarget,
    rounds: int,
    directory: Path,
    title: str,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Times of models as `tessera_vllm.timing` tells them; directory is for the files of request and answer.

    Raises RuntimeError, with its last words, if vLLM fails or is not there.
    """
    workload = target.workload
    steps, before = layer_times.steps(workload)
    request = {
        "models": [str(model) for model in models],
        "vocabulary": list(vocabularies),
        "batch": workload.batch,
        "prefill": workload.prefill,
        "before": before,
        "steps": steps,
        "rounds": rounds,
        "dtype": target.dtype,
        # On a CPU every stack would first be compiled.
        "settings": {"enforce_eager": target.hardware == "cpu"} | dict(settings or {}),
    }
    asked, answered, log = (directory / name for name in ("request.json", "answer.json", "vllm.log"))
    files.write_json(asked, request)
    environment = dict(os.environ)
    if target.hardware == "cpu":
        environment = ON_CPU | environment
        environment |= {"OMP_NUM_THREADS": str(target.threads)} if target.threads else {}
    command = [target.python or sys.executable, "-m", "tessera_vllm.timing", str(asked), str(answered)]
    with log.open("w", encoding="utf-8") as errors:
        try:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
        except OSError as error:
            raise RuntimeError(f"python = {command[0]}: {error.strerror}; expected an interpreter with vLLM") from None
        for _ in track(_finished(process, {str(model) for model in models}), title, len(models)):
            pass
    if process.wait() or not answered.is_file():
        last = log.read_text(encoding="utf-8").strip().splitlines()
        raise RuntimeError(f"{command[0]} -m tessera_vllm.timing failed: {last[-1] if last else 'without a word'}")
    answer = json.loads(answered.read_text(encoding="utf-8"))
    if not steps:
        answer["models"] = [{"prefill": one["prefill"]} for one in answer["models"]]
    return answer


def _finished(process: subprocess.Popen, models: set[str]) -> Iterator[str]:
    """The models as they are done; other lines are vLLM's own."""
    assert process.stdout
    for line in process.stdout:
        if line.strip() in models:
            yield line.strip()
