"""Optuna with this package's proposals, four trials at a time: python examples/optuna_sampler.py

Needs the extra: pip install 'tessera[peers]'.
"""

import math

import optuna

from tessera.bayesopt.adapters.optuna_sampler import TesseraSampler


def objective(trial: optuna.Trial) -> float:
    """A valley in the logarithm of a rate, deeper with three layers; some rates diverge."""
    rate = trial.suggest_float("rate", 1e-5, 1.0, log=True)
    layers = trial.suggest_int("layers", 1, 6)
    kind = trial.suggest_categorical("kind", ["relu", "tanh"])
    if rate > 0.3:
        return math.nan  # Optuna records a failure, and the sampler learns to keep away
    return (math.log10(rate) + 3) ** 2 + 0.1 * (layers - 3) ** 2 + (kind == "tanh")


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=TesseraSampler(method="bop", edges="evidence", seed=0))
    study.optimize(objective, n_trials=30, n_jobs=4)
    states = [trial.state.name.lower() for trial in study.trials]
    print(f"{len(states)} trials, {states.count('fail')} failed; best {study.best_value:.3g} at {study.best_params}")


if __name__ == "__main__":
    main()
