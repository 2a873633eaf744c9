"""Other packages' optimisers as Samplers of a benchmark, with the settings that their users get without asking.

They come with the extra `peers`. Each is told of pending points in its own way, and gets the same seeds and
the same clock as ours.
"""

import importlib
import logging
import warnings
from typing import Any

import numpy as np

from tessera.bayesopt.benchmark import Sampler
from tessera.bayesopt.functions import Function
from tessera.bayesopt.params import Peer
from tessera.bayesopt.settings import Edges
from tessera.bayesopt.variables import Float
from tessera.common import randomness

#: Of BoTorch's tutorials.
RESTARTS, RAW_SAMPLES = 10, 512


def make(peer: Peer, function: Function, seed: int, edges: Edges) -> Sampler:
    """The peer for a function of floats; edges is the rule of botorch-filtered.

    Raises ImportError, naming the extra, if its package is missing.
    """
    package = peer.partition("-")[0]
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise ImportError(f"the sampler {peer} needs {package}: pip install 'tessera[peers]' ({error})") from error
    if package == "botorch":
        return BoTorch(function, seed, edges if peer == "botorch-filtered" else "none")
    return Ax(function, seed) if package == "ax" else Optuna(function, seed, peer)


class Optuna:
    """Optuna's TPESampler or GPSampler."""

    def __init__(self, function: Function, seed: int, peer: Peer) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler_class = optuna.samplers.TPESampler if peer == "optuna-tpe" else optuna.samplers.GPSampler
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = sampler_class(seed=seed % (1 << 32))
        self._study = optuna.create_study(sampler=sampler)
        self._space = {
            name: optuna.distributions.FloatDistribution(low, high) for name, (low, high) in _box(function).items()
        }

    def ask(self) -> tuple[int, dict[str, Any], str]:
        trial = self._study.ask(self._space)
        return trial.number, trial.params, "peer"

    def tell(self, number: int, value: float) -> None:
        self._study.tell(number, value)

    def recommend(self) -> int:
        """By the least value: Optuna's best_trial."""
        return self._study.best_trial.number


class Ax:
    """Ax's Client with its own choice of steps."""

    def __init__(self, function: Function, seed: int) -> None:
        import torch
        from ax.api.client import Client
        from ax.api.configs import RangeParameterConfig
        from ax.utils.common.logger import set_stderr_log_level

        set_stderr_log_level(logging.ERROR)
        torch.set_num_threads(1)
        self._client = Client(random_seed=seed % (1 << 31))
        self._client.configure_experiment(
            [RangeParameterConfig(name=name, parameter_type="float", bounds=bounds)
             for name, bounds in _box(function).items()]
        )  # fmt: skip
        self._client.configure_optimization("-loss")

    def ask(self) -> tuple[int, dict[str, Any], str]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ((number, params),) = self._client.get_next_trials(1).items()
        return number, dict(params), "peer"

    def tell(self, number: int, value: float) -> None:
        self._client.complete_trial(number, {"loss": value})

    def recommend(self) -> int:
        """By Ax's own rule: the model's prediction if that is good enough, or else the least value."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self._client.get_best_parameterization()[2]


class BoTorch:
    """qLogEI on a SingleTaskGP, both with BoTorch's defaults, after 2 D Sobol points; edges: a rule around it."""

    def __init__(self, function: Function, seed: int, edges: Edges) -> None:
        import torch
        from scipy.stats import qmc

        torch.set_num_threads(1)
        self._space, self._seed, self._edges = function.space, seed, edges
        self._first = qmc.Sobol(function.space.width, scramble=True, rng=np.random.default_rng(seed)).random(256)
        self._rows: list[np.ndarray] = []
        self._told: dict[int, float] = {}

    def ask(self) -> tuple[int, dict[str, Any], str]:
        number = len(self._rows)
        row, kind = self._first[number % 256], "sobol"
        if len(self._told) >= 2 * self._space.width:
            row, kind = self._propose(number), "peer"
        self._rows.append(row)
        return number, self._space.from_cube(row), kind

    def tell(self, number: int, value: float) -> None:
        self._told[number] = value

    def recommend(self) -> int:
        """The trial of least posterior mean, as BoTorch's tutorials do; of least value before there is a model."""
        import torch

        if len(self._told) < 2 * self._space.width:
            return min(self._told, key=self._told.__getitem__)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed % (1 << 63))  # drawn from if a fit has to begin again
            model, X, _ = self._fitted()
        with torch.no_grad():
            return sorted(self._told)[int(model.posterior(X).mean.argmax())]

    def _fitted(self) -> tuple[Any, Any, Any]:
        """The model of what has been told, by number: rows X (n, D) and values to maximise (n, 1)."""
        import torch
        from botorch.fit import fit_gpytorch_mll
        from botorch.models import SingleTaskGP
        from gpytorch.mlls import ExactMarginalLogLikelihood

        told = sorted(self._told)
        X = torch.as_tensor(np.array([self._rows[i] for i in told]))
        y = -torch.tensor([[self._told[i]] for i in told], dtype=torch.double)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = SingleTaskGP(X, y)
            fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        return model, X, y

    def _propose(self, number: int) -> np.ndarray:
        import torch
        from botorch.acquisition import qLogExpectedImprovement

        from tessera.bayesopt.adapters.botorch_edges import EdgeFilter

        waiting = [row for i, row in enumerate(self._rows) if i not in self._told]
        pending = torch.as_tensor(np.array(waiting)) if waiting else None
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(randomness.seed(self._seed, "bayesopt", "botorch", number) % (1 << 63))
            model, X, y = self._fitted()
            acquisition = qLogExpectedImprovement(model, best_f=y.max(), X_pending=pending)
            bounds = torch.stack([torch.zeros(X.shape[1]), torch.ones(X.shape[1])]).to(X)
            edge_filter = EdgeFilter(model, bounds, self._edges)  # with the rule none it is optimize_acqf itself
            candidates, _ = edge_filter(acquisition, num_restarts=RESTARTS, raw_samples=RAW_SAMPLES)
        return candidates[0].clamp(0, 1).numpy()


def _box(function: Function) -> dict[str, tuple[float, float]]:
    """Bounds of each variable. Raises ValueError if one is not a float on a linear scale."""
    box = {}
    for name, variable in function.space.variables.items():
        if not isinstance(variable, Float) or variable.log:
            raise ValueError(f"{name} is {variable!r}; expected a float on a linear scale")
        box[name] = (variable.low, variable.high)
    return box
