"""The neurons' packages need five libraries, and load them when a public name is asked for."""

import inspect
import subprocess
import sys

import pytest

from tessera import balanced, neurons, tempotron, tsvm

PACKAGES = (neurons, tempotron, tsvm, balanced)
#: What a bare environment lacks.
ABSENT = (
    "brian2", "dvc", "highspy", "matplotlib", "mlflow", "neo", "pandas", "piqp", "psutil", "pyarrow", "pydantic",
    "pynwb", "snakemake", "torch", "typer", "yaml",
)  # fmt: skip

BARE = f"""
import sys, time

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {ABSENT}:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Absent())
import tessera.balanced, tessera.neurons, tessera.tempotron, tessera.tsvm
assert not {{"numba", "scipy", "sklearn"}} & set(sys.modules)
import numba, scipy.optimize, scipy.stats, sklearn.base
start = time.process_time()
for package in (tessera.neurons, tessera.tempotron, tessera.tsvm, tessera.balanced):
    for name in package.__all__:
        getattr(package, name)
seconds = time.process_time() - start
X = tessera.neurons.from_lists([[[5.0], []], [[], [5.0]]], duration=50.0)
model = tessera.tempotron.Tempotron(learning_rate=0.01, random_state=0).fit(X, ["a", "b"])
assert model.converged_ and model.score(X, ["a", "b"]) == 1
assert tessera.tsvm.TemporalSVM(hold=0.0).fit(X, [[10.0], []]).status_ == "certified"
assert tessera.balanced.BalancedPerceptron(signs=[1, -1]).fit([[2.0, 1], [1, 2]], [1, 0]).kappa_in_ > 0
print(seconds)
"""


@pytest.fixture(scope="module")
def seconds() -> float:
    """CPU seconds that the packages take to load, without the libraries, in a process that lacks all others."""
    done = subprocess.run([sys.executable, "-c", BARE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def test_fits_without_anything_else(seconds):
    assert seconds < 1


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_public_names(package):
    assert set(dir(package)) == set(package.__all__)
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'absent'"):
        package.absent  # noqa: B018
    for name in package.__all__:
        value = getattr(package, name)
        assert inspect.getdoc(value) and value.__name__ == name
