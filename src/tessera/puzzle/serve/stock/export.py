"""A child in the form that an engine reads unmodified, read back where transformers can, and what its card says."""

import contextlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from torch import Tensor
from transformers import AutoModelForCausalLM

from tessera.common import files
from tessera.puzzle import child
from tessera.puzzle.models import loading
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.serve import publish
from tessera.puzzle.serve.stock import configuration_decilm, nemotron_nas, plain
from tessera.puzzle.serve.stock.form import Form

Engine = Literal["hf", "vllm", "tensorrt-llm", "mlx"]
Dtype = Literal["bfloat16", "float16", "float32"]
#: As people write them.
NAMES = {"hf": "transformers", "vllm": "vLLM", "tensorrt-llm": "TensorRT-LLM", "mlx": "MLX"}
#: The configuration class of the Nemotron-NAS form.
CODE = Path(configuration_decilm.__file__)
#: What differs between two ways to sum may be this share of the largest logit.
_TOLERANCE = 1e-4
_TEXT = (2, 24)


@dataclass(frozen=True)
class Report:
    """What was written: the form in words, its parameters, what stands in for what, and what was checked."""

    form: str
    parameters: int
    notes: list[str]
    checked: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For export.json."""
        return {"form": self.form, "parameters": self.parameters, "notes": self.notes, "checked": self.checked}


def write(
    source: Path,
    out: Path,
    engine: Engine,
    dtype: Dtype = "bfloat16",
    maps_as_ffns: bool = False,
    license_name: str | None = None,
) -> Report:
    """Write a child, or a parent, as an engine reads it without code of ours; weights are rounded to dtype.

    As its parent's plain class if that can compute it. Else for transformers as the child's own class, whose code goes
    with it, and for the others in the Nemotron-NAS form. maps_as_ffns: see nemotron_nas; license_name goes into the
    card of a source without one. What is at `out` is replaced. Raises ValueError, naming what the engine cannot
    compute, if there is no form; then nothing is written.
    """
    model = loading.load(source).requires_grad_(False)
    config = files.read_json(source / "config.json")
    with files.replacing_directory(out) as directory:
        try:
            report = _plain(model, config, source, directory, dtype)
        except ValueError as refusal:
            if engine == "hf":
                report = _own(model, source, directory, dtype, str(refusal))
            else:
                report = _nemotron(model, engine, source, directory, dtype, maps_as_ffns, str(refusal))
        files.write_json(directory / "export.json", {"for": engine, "dtype": dtype} | report.as_dict())
        _card(source, directory, engine, dtype, report, license_name)
    return report


def _plain(model: LanguageModel, config: Mapping[str, Any], source: Path, directory: Path, dtype: Dtype) -> Report:
    form = plain.convert(model, config)
    parameters = _save(form, source, directory, dtype)
    difference = _difference(model, directory, dtype)
    if difference > _TOLERANCE:
        for path in directory.iterdir():
            path.unlink()
        raise ValueError(f"{form.words}, computes something else: logits differ by {difference:.1e} of the largest one")
    checked = f"transformers reads it without code of its own; logits as the child's to {difference:.1e} of the largest"
    return Report(form.words, parameters, form.notes, [checked])


def _own(model: LanguageModel, source: Path, directory: Path, dtype: Dtype, refusal: str) -> Report:
    publish.checkpoint(model, source, directory, dtype)
    words = f"the child's own class, whose code is {child.CODE.name} (trust_remote_code)"
    return Report(words, sum(value.numel() for value in model.state().values()), [f"no plain class: {refusal}"])


def _nemotron(
    model: LanguageModel,
    engine: nemotron_nas.Engine,
    source: Path,
    directory: Path,
    dtype: Dtype,
    maps_as_ffns: bool,
    refusal: str,
) -> Report:
    try:
        form = nemotron_nas.convert(model, engine, maps_as_ffns)
    except ValueError as error:
        raise ValueError(
            f"{NAMES[engine]} by itself has no form for this child. As the parent's plain class: {refusal}. As "
            f"Nemotron-NAS: {error}"
        ) from None
    parameters = _save(form, source, directory, dtype)
    shutil.copyfile(CODE, directory / CODE.name)
    return Report(form.words, parameters, [*form.notes, f"its configuration class is {CODE.name} (trust_remote_code)"])


def _save(form: Form, source: Path, directory: Path, dtype: Dtype) -> int:
    """Write tensors, configuration and tokenizer; the number of parameters."""
    tensors = {name: _rounded(value, dtype).contiguous() for name, value in form.tensors.items()}
    files.save_tensors(directory / "model.safetensors", tensors, metadata={"format": "pt"})
    files.write_json(directory / "config.json", {**form.config, "dtype": dtype, "torch_dtype": dtype})
    for name in (*child.TOKENIZER, "generation_config.json"):
        if (source / name).is_file():
            shutil.copyfile(source / name, directory / name)
    return sum(value.numel() for value in tensors.values())


def _rounded(value: Tensor, dtype: Dtype) -> Tensor:
    return value.to(getattr(torch, dtype))


@torch.no_grad()
def _difference(model: LanguageModel, directory: Path, dtype: Dtype) -> float:
    """Largest difference of logits between a child, rounded as it was written, and what transformers reads."""
    transformers.logging.disable_progress_bar()
    read = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, trust_remote_code=False).eval()
    tokens = torch.randint(0, model.config.vocab_size, _TEXT, generator=torch.Generator().manual_seed(0))
    found = read(tokens).logits
    del read
    with _as_written(model, dtype):
        expected = model(tokens)
    return float((found - expected).abs().max() / expected.abs().max())


@contextlib.contextmanager
def _as_written(model: LanguageModel, dtype: Dtype):
    """The model with its weights rounded to dtype."""
    kept = {name: value.data for name, value in model.network.named_parameters()}
    try:
        for parameter in model.network.parameters():
            parameter.data = _rounded(parameter.data, dtype).float()
        yield
    finally:
        for name, parameter in model.network.named_parameters():
            parameter.data = kept[name]


def _card(
    source: Path, directory: Path, engine: Engine, dtype: Dtype, report: Report, license_name: str | None
) -> None:
    """The child's card, or the head of one if it has none, and what this form of it is."""
    path = source / "README.md"
    if path.is_file():
        before = path.read_text(encoding="utf-8").rstrip()
    else:
        front = [f"license: {license_name}"] if license_name else []
        front += ["library_name: transformers", "pipeline_tag: text-generation", "tags: [puzzle, nas, distillation]"]
        before = "\n".join(["---", *front, "---", "", f"# {source.name}"])
    lines = [
        f"## This copy: for {NAMES[engine]}",
        "",
        f"* {report.form}",
        f"* {report.parameters:,} parameters in {dtype}",
    ]
    lines += [f"* {note}" for note in report.notes]
    lines += [
        f"* checked: {check}" for check in report.checked or ["no logits; tests compare small children of this form"]
    ]
    files.write_text(directory / "README.md", before + "\n\n" + "\n".join(lines) + "\n")
