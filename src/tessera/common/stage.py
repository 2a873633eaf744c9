"""The command line of a stage, made from the signature of its main function.

A stage is one module in a folder `stages` and one rule of the workflow: read files, call science, write files.

    '''Score the variants of a layer by replacing one block of the parent at a time.'''

    class Params(Section):
        scores: ScoreParams
        seed: int

    def main(params: Params, part: int, library: list[Path], tokens: Path, scores: Path) -> None:
        from tessera.puzzle.scores import replace_one  # imports that take seconds belong in here
        ...
        files.write_json(scores, result)

    if __name__ == "__main__":
        stage.run(main)

is called by its rule as

    python -m tessera.puzzle.stages.scores_part --params '{"scores": {...}, "seed": 0}' --part 3
        --library data/puzzle/library/part_0 --tokens data/tokens --scores data/puzzle/scores/part_3.json

Every argument is given by name. `params` is JSON, checked against the annotated model; the others are Path, str, int or
float, a Literal of texts, or a list of these; one with a default may be left out. The parameters of several sections
come as one object, keyed by the last part of their names: section("puzzle.scores", "seed") in the rule gives the above.
"""

import argparse
import inspect
import json
import os
import sys
import traceback
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from tessera.common import params

#: Errors that tell the user what to mend: shown as one line. Others are faults of the code and keep their traceback.
EXPECTED = (ValueError, OSError)
PACKAGE = Path(__file__).parents[1]


def parser(main: Callable[..., None]) -> argparse.ArgumentParser:
    """Return the parser of main's arguments. Raises TypeError if one has no annotation."""
    made = argparse.ArgumentParser(
        prog=f"python -m {_module(main)}", description=inspect.getmodule(main).__doc__, allow_abbrev=False
    )
    hints = typing.get_type_hints(main)
    for name, parameter in inspect.signature(main).parameters.items():
        if name not in hints:
            raise TypeError(f"{_module(main)}.main: the argument {name!r} has no annotation")
        required = parameter.default is parameter.empty
        default = {} if required else {"default": parameter.default}
        flag = f"--{name.replace('_', '-')}"
        made.add_argument(flag, dest=name, required=required, **default, **_converter(name, hints[name]))
    return made


def _module(main: Callable[..., None]) -> str:
    """Name of main's module, also where it was started by python -m."""
    spec = getattr(inspect.getmodule(main), "__spec__", None)
    return spec.name if spec else main.__module__


def _converter(name: str, hint: Any) -> dict[str, Any]:
    """Argparse's settings of an argument annotated by hint."""
    if name == "params":
        return {"metavar": "JSON"}
    if typing.get_origin(hint) is list:
        return {"nargs": "*"} | _converter(name, typing.get_args(hint)[0])
    if typing.get_origin(hint) is typing.Literal:
        return {"choices": typing.get_args(hint)}
    if isinstance(hint, types.UnionType):  # `Path | None`, of an argument that may be left out
        hint = next(kind for kind in hint.__args__ if kind is not types.NoneType)
    return {"type": hint, "metavar": "PATH" if hint is Path else hint.__name__.upper()}


def _checked(model: Any, text: str) -> Any:
    """Parameters given as JSON, checked against their model. Raises ValueError."""
    try:
        values = json.loads(text)
    except ValueError as error:
        raise ValueError(f"--params is not JSON: {error}") from None
    if isinstance(model, type) and issubclass(model, BaseModel):
        return params.check(model, values, [("--params", values)])
    return TypeAdapter(model).validate_json(text)


def run(main: Callable[..., None], arguments: Sequence[str] | None = None) -> None:
    """Call main with the command line's arguments.

    An expected error ends the process with status 1 and one line on stderr; TESSERA_TRACEBACK=1 shows its traceback.
    """
    given = vars(parser(main).parse_args(arguments))
    threads = os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))
    for library in ("OPENBLAS", "MKL"):  # read when torch and NumPy's BLAS are loaded
        os.environ.setdefault(f"{library}_NUM_THREADS", threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(int(threads))
    try:
        if "params" in given:
            given["params"] = _checked(typing.get_type_hints(main)["params"], given["params"])
        main(**given)
    except EXPECTED as error:
        if os.environ.get("TESSERA_TRACEBACK"):
            raise
        print(f"error: {error}{_place(error)}", file=sys.stderr)
        sys.exit(1)


def _place(error: Exception) -> str:
    """Where a library that this package called raised error; the package's own errors say enough by themselves."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if PACKAGE in Path(frame.filename).parents]
    if not own or own[-1] is frames[-1]:
        return ""
    return f" [{Path(own[-1].filename).relative_to(PACKAGE)}, line {own[-1].lineno}]"
