"""How well a temporal support vector machine fires on time with jittered inputs: what its settings are tuned by.

Spikes are learned from one train per task, with a Gaussian kernel, and then scored on other, jittered copies.
"""

from __future__ import annotations

import numpy as np

from tessera.common.randomness import generator
from tessera.tsvm.estimator import TemporalSVM
from tessera.tsvm.params import JitterParams, SvmParams
from tessera.tsvm.tasks import jittered, poisson_problem


def missed(svm: SvmParams, task: JitterParams, seed: int) -> dict[str, float]:
    """1 - mean F1 on jittered trains (miss) and on those learned from (miss_learned), and the share of tasks solved.

    A task that has no solution counts as F1 = 0.
    """
    learned, copied, solved = [], [], []
    for number in range(task.tasks):
        # The same tasks and the same jitter for every setting.
        rng = generator(seed, "tsvm", "jitter", number)
        spikes, targets = poisson_problem(rng, task.afferents, task.targets, task.duration)
        copies = [jittered(spikes, task.jitter, rng) for _ in range(task.copies)]
        model = TemporalSVM(kernel="gaussian", **svm.model_dump()).fit(spikes, targets)
        fires = model.status_ in ("certified", "feasible")
        solved.append(fires)
        learned.append(model.score(spikes, targets, task.window) if fires else 0.0)
        copied += [model.score(copy, targets, task.window) if fires else 0.0 for copy in copies]
    return {
        "miss": 1 - float(np.mean(copied)),
        "miss_learned": 1 - float(np.mean(learned)),
        "solved": float(np.mean(solved)),
    }
