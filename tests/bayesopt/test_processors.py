"""One study, one table: on processors whose sums and exponentials end in other digits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

#: What a newer and an older x86 processor use: kernels of BLAS, vector instructions of NumPy, and the C library's own.
PROCESSORS = (
    {"OPENBLAS_CORETYPE": "Haswell"},
    {
        "OPENBLAS_CORETYPE": "Nehalem",
        "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512_SKX AVX512_ICL",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX2_Usable,-FMA_Usable",
    },
)
SCRIPT = """
import json, sys
from threadpoolctl import threadpool_info
from tessera.bayesopt import Optimizer, functions
from tessera.common import files
from tessera.report import bayesopt_study
directory, studies, budget = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
for name, options in studies:
    function = functions.get(name)
    optimizer = Optimizer(function.space, seed=5, **options)
    pending = []
    for _ in range(budget):
        pending += optimizer.ask()
        if len(pending) == 3:
            trial = pending.pop(0)
            optimizer.tell(trial, round(function(trial.params), 9))  # a cosine's last digit is the function's affair
    label = "-".join([name, *map(str, options.values())])
    files.write_csv(f"{directory}/{label}.csv", bayesopt_study.table(optimizer.trials))
    files.write_json(f"{directory}/{label}.json", [trial.theta for trial in optimizer.trials])
print(json.dumps([one.get("architecture") for one in threadpool_info() if one["user_api"] == "blas"]))
"""
OPTIONS = (
    {"method": "bop"},
    {"method": "thompson"},
    {"method": "fubar"},
    {"method": "bop", "transform": "yeo-johnson"},
)


def run(directory: Path, studies: list, budget: int) -> list[dict[str, bytes]]:
    """Files of the studies on each processor."""
    kernels, found = [], []
    for number, processor in enumerate(PROCESSORS):
        place = directory / str(number)
        place.mkdir()
        command = [sys.executable, "-c", SCRIPT, str(place), json.dumps(studies), str(budget)]
        done = subprocess.run(command, env=os.environ | processor, check=True, capture_output=True, text=True)
        kernels.append(json.loads(done.stdout))
        found.append({path.name: path.read_bytes() for path in place.iterdir()})
    if kernels[0] == kernels[1]:
        pytest.skip(f"this machine's BLAS has kernels for one processor alone: {kernels[0]}")
    return found


def test_a_study_is_the_same_on_two_processors(tmp_path: Path) -> None:
    once, again = run(tmp_path, [("branin", {"method": "bop"}), ("hartmann6", {"method": "thompson"})], 18)
    assert once == again
    assert len(once) == 4


@pytest.mark.slow
def test_studies_of_every_method_are_the_same_on_two_processors(tmp_path: Path) -> None:
    studies = [(name, options) for name in ("branin", "hartmann6", "rosenbrock4") for options in OPTIONS]
    once, again = run(tmp_path, [*studies, ("branin", {"method": "bop", "inference": "slice"})], 36)
    assert once.keys() == again.keys()
    assert [name for name, content in once.items() if content != again[name]] == []
