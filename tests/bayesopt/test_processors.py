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
import json, math, sys
from threadpoolctl import threadpool_info
from tessera.bayesopt import Categorical, Float, Int, Optimizer, Space, functions
from tessera.common import files
directory, studies, budget = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])

class Mixed:
    # Every kind of variable, and a part of the space that fails.
    space = Space({"r": Float(low=1e-5, high=1.0, log=True), "n": Int(low=1, high=9), "x": Float(low=-1.0, high=1.0),
                   "m": Int(low=1, high=1024, log=True), "c": Categorical(choices=["a", "b", "c"])})
    def __call__(self, p):
        total = (math.log10(p["r"]) + 3) ** 2 + (p["n"] - 4) ** 2 / 5 + (math.log2(p["m"]) - 5) ** 2 / 9 + p["x"] ** 2
        return total + (p["c"] != "b") if p["x"] < 0.5 else math.nan

class Sphere:
    space = Space({f"x{i}": Float(low=0.0, high=1.0) for i in range(12)})
    def __call__(self, p):
        return sum((value - 0.4) ** 2 for value in p.values())

ours = {"mixed": Mixed, "sphere12": Sphere}
for name, options in studies:
    function = ours[name]() if name in ours else functions.get(name)
    optimizer = Optimizer(function.space, seed=5, **options)
    pending = []
    for _ in range(budget):
        pending += optimizer.ask()
        if len(pending) == 3:
            trial = pending.pop(0)
            optimizer.tell(trial, round(function(trial.params), 9))  # a cosine's last digit is the function's affair
    label = "-".join([name, *map(str, options.values())])
    files.write_json(f"{directory}/{label}.json", [trial.to_json() for trial in optimizer.trials])
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
    assert len(once) == 2


@pytest.mark.slow
def test_studies_of_every_method_are_the_same_on_two_processors(tmp_path: Path) -> None:
    studies = [(name, options) for name in ("branin", "hartmann6", "rosenbrock4") for options in OPTIONS]
    studies += [(name, {"method": "bop"}) for name in ("mixed", "sphere12")]
    inducing = {"fit_limit": 20, "exact_limit": 24, "inducing": 16}
    studies += [("branin", {"method": "bop", **more}) for more in ({"inference": "slice"}, inducing)]
    once, again = run(tmp_path, studies, 50)
    assert once.keys() == again.keys()
    assert [name for name, content in once.items() if content != again[name]] == []
