"""What a person asks for: a model, text, a target and a limit. Paths become absolute, names are checked."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from tessera.data import own_files, packages, rows
from tessera.data import parent as parents
from tessera.data.params import HUB, NAME, RESERVED
from tessera.puzzle.search_params import Method
from tessera.puzzle.serve.gguf_types import ARCHITECTURES

#: GPUs whose kernels were timed: hardware, and the batch of requests.
GPUS = {
    "h200": ("h200-sxm", 256),
    "a100": ("a100-sxm", 128),
    "b200": ("b200-sxm", 256),
    "b300": ("b300-sxm", 256),
    "gb200": ("gb200", 256),
    "gb300": ("gb300", 256),
    "l40s": ("l40s", 64),
    "rtx-pro-6000": ("rtx-pro-6000", 128),
    "b60": ("b60", 32),
}


def _computed(source: str, hardware: str, batch: int) -> dict[str, Any]:
    workload = {"batch": batch, "prefill": 512, "decode": 512}
    return {"source": source, "hardware": hardware, "dtype": "bfloat16", "workload": workload}


#: Targets that params.yaml does not have, by the name that is asked for. Rooflines know every size.
TARGETS: dict[str, dict[str, Any]] = {
    "cpu-torch": {
        "source": "measured",
        "hardware": "cpu",
        "dtype": "float32",
        "workload": {"batch": 1, "prefill": 128, "decode": 128},
    },
    "cuda": {
        "source": "measured",
        "hardware": "cuda",
        "dtype": "bfloat16",
        "workload": {"batch": 8, "prefill": 512, "decode": 512},
    },
    **{name: _computed("kernel-database", *gpu) for name, gpu in GPUS.items()},
    **{f"{name}-roofline": _computed("roofline", f"{name}-sxm", 256) for name in ("h100", "h200", "a100")},
}
#: Name of the source of text that is given without one.
SOURCE = "text"
#: Fewest tokens that an attention is asked to see.
LEAST_WINDOW = 8
#: Options that may differ between calls for the same directory.
FREE = ("budget_minutes", "cores")


@dataclass(frozen=True)
class Request:
    """The arguments of the command, as they decide what is computed."""

    model: str
    """directory:PATH, package:NAME or hub:OWNER/NAME@REVISION, as data.parent."""
    text: dict[str, list[str]]
    """Files, and data sets of the hub, by source."""
    target: str
    limit: dict[str, Any]
    """speedup, throughput or memory of the whole child, as puzzle.search.child."""
    content: dict[str, str]
    """Digests of the files of text, and sizes of the model's, by path: what changes them is another request."""
    format: Literal["text", "messages"] = "text"
    field: str | None = None
    loss: Literal["all", "answers"] = "all"
    window: int | None = None
    """Tokens that attention sees in variants that are searched too; None for no such variants."""
    stock: bool = False
    """Whether all layers shall be of one size, as in a plain class of the parent's."""
    license: str | None = None
    tasks: bool = True
    budget_minutes: float | None = None
    cores: int = 1

    def __post_init__(self) -> None:
        if self.loss == "answers" and self.format != "messages":
            raise ValueError(f"--loss answers with --format {self.format}: expected --format messages")
        if self.window is not None and self.window < LEAST_WINDOW:
            raise ValueError(f"--window {self.window}: expected at least {LEAST_WINDOW} tokens")
        if self.window is not None and self.stock:
            raise ValueError(f"--window {self.window} with --stock: no plain class has windows in some variants alone")

    @property
    def method(self) -> Method:
        """How the child is chosen."""
        return "stock" if self.stock else "quadratic"

    @property
    def name(self) -> str:
        """The model's name, without its place."""
        return re.sub(r"[^\w.-]", "-", self.model.partition(":")[2].rstrip("/").rpartition("/")[2].partition("@")[0])

    def identity(self) -> dict[str, Any]:
        """What must not change if the same directory is used again."""
        return {key: value for key, value in asdict(self).items() if key not in FREE}


def model_of(text: str, known: Mapping[str, packages.Package]) -> str:
    """A model as data.parent names it; known are the packages of data/packages.yaml.

    Raises ValueError and FileNotFoundError, naming what is there instead.
    """
    kind, colon, name = text.partition(":")
    if colon and kind in ("package", "hub", "directory"):
        if kind == "package" and "gguf" not in getattr(known.get(name), "members", ()):
            valid = ", ".join(f"package:{n}" for n, package in known.items() if "gguf" in package.members)
            raise ValueError(f"{text}: no such package with a model; expected {valid}, or a directory")
        if kind != "directory":
            return text
        text = name
    directory = Path(text).expanduser()
    if not (directory / "config.json").is_file():
        what = "no such directory" if not directory.exists() else "has no config.json"
        raise FileNotFoundError(
            f"{text}: {what}; expected a Hugging Face directory with config.json, model.safetensors and a tokenizer, "
            "package:NAME or hub:OWNER/NAME@REVISION"
        )
    if not list(directory.glob("*.safetensors")):
        raise FileNotFoundError(f"{text}: has no *.safetensors; weights of other formats are not read")
    return f"directory:{directory.resolve()}"


def text_of(entries: Sequence[str]) -> dict[str, list[str]]:
    """Files by source, of entries that are FILE or NAME=FILE: paths, patterns, directories, data sets of the hub.

    All without a name are one source. Raises ValueError, naming the entry, if one has no file that can be read.
    """
    if not entries:
        raise ValueError(
            "--text: no files; expected at least one .txt, .jsonl, .jsonl.gz, .jsonl.zst, .json or .parquet"
        )
    sources: dict[str, list[str]] = {}
    for entry in entries:
        name, equals, path = entry.partition("=")
        if not equals or Path(entry).exists() or not NAME.fullmatch(name):
            name, path = SOURCE, entry
        if name in RESERVED:
            raise ValueError(f"--text {entry}: {name} is the name of a built-in source; expected another")
        sources.setdefault(name, []).extend(_files(path))
    return {name: list(dict.fromkeys(paths)) for name, paths in sources.items()}


def _files(entry: str) -> list[str]:
    if HUB.fullmatch(entry):
        return [entry]
    place = Path(entry).expanduser()
    if place.is_dir() and not any(place.glob("state.json")) and not any(place.glob("*/state.json")):
        inside = sorted(path for path in place.rglob("*") if path.is_file() and path.name.endswith(tuple(rows.READERS)))
        if not inside:
            raise ValueError(f"--text {entry}: the directory has no file of {', '.join(rows.READERS)}")
        return [str(path.resolve()) for path in inside]
    found = own_files.expanded([entry], Path.cwd(), "--text")
    return [str(Path(path).resolve()) for path in found]


def content_of(model: str, text: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Digests of the files of text, and sizes of a directory's model files, by path."""
    content = {}
    for path in (path for paths in text.values() for path in paths if not HUB.fullmatch(path)):
        digest = blake2b(digest_size=16)
        with Path(path).open("rb") as file:
            while part := file.read(2**20):
                digest.update(part)
        content[path] = digest.hexdigest()
    if model.startswith("directory:"):
        content |= {
            path: f"{Path(path).stat().st_size} bytes" for path in parents.files_of(model.removeprefix("directory:"))
        }
    return content


def target_of(name: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of puzzle.costs.targets for a name, of params.yaml's targets or TARGETS.

    Raises ValueError, naming the valid ones.
    """
    every = TARGETS | dict(known)
    if name not in every:
        raise ValueError(f"--target {name}: unknown; expected one of {', '.join(every)}")
    return every[name]


def possible(target: dict[str, Any], family: str) -> dict[str, Any]:
    """The target; with torch in place of llama.cpp if that has no form for children of the family."""
    if target["source"] != "llama.cpp" or family in ARCHITECTURES:
        return target
    return TARGETS["cpu-torch"] | {key: target[key] for key in ("workload", "threads") if key in target}


def limit_of(speedup: float | None, memory: str | None, throughput: float | None) -> dict[str, Any]:
    """The limit of the whole child; a speed-up of 1.3 if none is given.

    Raises ValueError, naming the option, if one asks for nothing.
    """
    if speedup is None and memory is None and throughput is None:
        speedup = 1.3
    if speedup is not None and speedup <= 1:
        raise ValueError(f"--speedup {speedup:g}: expected more than 1, the parent's own speed")
    if throughput is not None and throughput <= 0:
        raise ValueError(f"--throughput {throughput:g}: expected tokens per second, more than 0")
    limit: dict[str, Any] = {"speedup": speedup, "throughput": throughput}
    if memory is not None:
        text = memory.strip()
        try:
            value = float(text.removesuffix("%"))
        except ValueError:
            value = 0.0
        if value <= 0 or (text.endswith("%") and value >= 100):
            raise ValueError(f"--memory {memory}: expected a share of the parent's below 100%, as in 60%, or MiB")
        limit["memory"] = text if text.endswith("%") else value
    return {key: value for key, value in limit.items() if value is not None}


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What two identities differ in, in words: `target: cpu, now h100`."""
    words = []
    for key in dict.fromkeys((*before, *now)):
        a, b = before.get(key), now.get(key)
        if a != b and isinstance(a, dict) and isinstance(b, dict):
            words += [f"{key}: {inner}" for inner in differences(a, b)]
        elif a != b:
            words.append(f"{key}: {a}, now {b}")
    return words
