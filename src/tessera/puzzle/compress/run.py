"""From arguments to a plan, and from a plan to the files of the workflow; what runs Snakemake is given."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from tessera.common import files, params, progress
from tessera.data import packages
from tessera.puzzle.compress import REPOSITORY, plan
from tessera.puzzle.compress import request as requests
from tessera.puzzle.compress import text as texts
from tessera.puzzle.compress.plan import OVERLAY, Plan
from tessera.puzzle.compress.progress import Progress
from tessera.puzzle.compress.request import Request
from tessera.puzzle.compress.steps import ALONE

#: Runs the workflow with some arguments of Snakemake, and yields what it prints.
Follow = Callable[[list[str]], Iterable[str]]
Say = Callable[[str], object]
#: Files of a parent that a package or the hub must give before there can be a plan.
PARENT = "data/parent/model.safetensors"
#: Where packages are kept.
RAW = "data/raw"
#: The log of all runs in a directory.
LOG = "logs/compress.log"


def request(
    model: str, text: Sequence[str], target: str, limit: dict[str, Any], *, license: str | None = None, **others: Any
) -> Request:
    """The request of these arguments. Raises ValueError or OSError, naming the option, if one is wrong."""
    if not (REPOSITORY / "Snakefile").is_file():
        raise FileNotFoundError(f"{REPOSITORY / 'Snakefile'}: no such file; expected an editable install of a checkout")
    base = params.read(REPOSITORY / "params.yaml")
    requests.target_of(target, base["puzzle"]["costs"]["targets"])
    known = packages.read(REPOSITORY / "data/packages.yaml")
    parent, sources = requests.model_of(model, known), requests.text_of(text)
    if license is None and parent.startswith("package:"):
        license = known[parent.removeprefix("package:")].content.lower().replace(" ", "-")
    content = requests.content_of(parent, sources)
    return Request(parent, sources, target, limit, license=license, content=content, **others)


def planned(asked: Request, out: Path, follow: Follow, say: Say) -> Plan:
    """The plan for a directory: that of an earlier call with the same arguments, or a new one.

    A model of a package or the hub is first fetched into it. Raises as plan.make.
    """
    begun = time.monotonic()
    texts.check(asked)
    before = plan.known(out, asked)
    kind, _, place = asked.model.partition(":")
    model = Path(place) if kind == "directory" else out / "data/parent"
    path, content = out / "parent.yaml", yaml.safe_dump({"data": {"parent": asked.model}})
    # A call that was killed before it had a plan may have been for another model.
    made = (out / PARENT).is_file() and path.is_file() and path.read_text(encoding="utf-8") == content
    if kind != "directory" and not made:
        say(f"fetching and testing {asked.model}")
        files.write_text(path, content)
        lines = _logged(follow(_arguments(out, path, asked.cores, ["puzzle_parent"])), out)
        for _ in _with_size(lines, place, out) if kind == "package" else lines:
            pass
    tested = "" if kind != "directory" else "testing and "
    say(f"going on in {out}" if before else f"reading the text, and {tested}timing the model")
    return plan.make(asked, model, out, before, begun)


def run(made: Plan, out: Path, follow: Follow, say: Say) -> None:
    """Make the plan's files, with a bar over all steps. Raises RuntimeError with what failed, naming the log."""
    threads = ["--set-threads", *(f"{rule}={made.cores}" for rule in ALONE)]
    lines = [*threads, *_arguments(out, out / OVERLAY, made.cores, made.goals)]
    shown, rest = Progress(made.steps, out / "logs"), _logged(follow(lines), out)
    for line in rest:  # until it is known what will run
        shown.read(line)
        if shown.known:
            break
    for _ in progress.track(shown.ticks(rest, say), "compress, seconds of the plan", shown.total):
        pass


def _with_size(lines: Iterable[str], package: str, out: Path) -> Iterator[int]:
    """Follow the lines of a run that fetches a package; show how much of it has arrived."""
    known = packages.read(REPOSITORY / "data/packages.yaml")
    size = sum(known[name].bytes for name in known[package].parts or [package])
    return progress.track(packages.arriving(out / RAW, size, lines), f"fetch {package}, MiB", size // packages.MIB)


def _arguments(out: Path, overlay: Path, cores: int, goals: Sequence[str]) -> list[str]:
    layers = [str(REPOSITORY / "params.yaml"), str(overlay)]
    return ["--configfile", *layers, "--cores", str(cores), "--", *goals]


def _logged(lines: Iterable[str], out: Path) -> Iterator[str]:
    """Yield lines, and write them to the log. Raises RuntimeError, naming the log, if the run fails."""
    path = out / LOG
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as log:
        try:
            for line in lines:
                if line:
                    print(line, file=log, flush=True)
                yield line
        except RuntimeError as error:
            raise RuntimeError(f"{error} [more in {path}]") from error
