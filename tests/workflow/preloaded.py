"""The commands snakemake and dvc in forks of a process that has imported both: to import them takes most of their time.

The process is this file. It reads one line of JSON for each command, {command, cwd, env, output}, runs the command in a
fork, and answers with its exit status.
"""

import atexit
import gc
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path

#: The module of each command, and what it imports only when it runs.
COMMANDS = {"snakemake": "snakemake.cli", "dvc": "dvc.cli"}
LATER = ("snakemake.report.html_reporter", "snakemake.workflow", "dvc.cli.parser", "dvc.repo.reproduce")


@cache
def _server(_: int) -> subprocess.Popen[str]:
    """The process, one for each process of tests; it ends with its standard input."""
    return subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def run(command: tuple[str, ...], cwd: Path, env: Mapping[str, str]) -> tuple[int, str]:
    """Run one of the COMMANDS; return its exit status and all it printed."""
    server = _server(os.getpid())
    assert server.stdin and server.stdout
    with tempfile.NamedTemporaryFile() as output:
        job = {"command": command, "cwd": str(cwd), "env": dict(env), "output": output.name}
        print(json.dumps(job), file=server.stdin, flush=True)
        return int(server.stdout.readline()), Path(output.name).read_text()


def _call(command: list[str], cwd: str, env: dict[str, str], output: str) -> None:
    """Become a command, and exit as it does."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    written = os.open(output, os.O_WRONLY)
    os.dup2(written, 1)
    os.dup2(written, 2)
    program = Path(sys.executable).with_name(command[0])
    sys.path[:1] = [str(program.parent), *env["PYTHONPATH"].split(os.pathsep)]
    sys.argv = [str(program), *command[1:]]
    # The end of an interpreter that has imported this much takes half a second: only what a command asked for is done.
    try:
        sys.exit(sys.modules[COMMANDS[command[0]]].main())
    except SystemExit as end:
        status = end.code
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else bool(status))


def _serve() -> None:
    for name in (*COMMANDS.values(), *LATER):
        importlib.import_module(name)
    gc.freeze()
    for line in sys.stdin:
        if child := os.fork():
            _, status = os.waitpid(child, 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
        else:
            _call(**json.loads(line))


if __name__ == "__main__":
    _serve()
