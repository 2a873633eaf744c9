"""How well a temporal support vector machine fires on time with jittered inputs: what its settings are tuned by.

Spikes are learned from one train of each task, with a Gaussian kernel, and then asked for from other, jittered copies.
"""

from pathlib import Path

from pydantic import Field

from tessera.common import files, stage
from tessera.common.params import Section


class SvmParams(Section):
    """What is tuned, all else being the defaults of TemporalSVM."""

    tau_c: float = Field(gt=0)
    """ms, how sharply in time the margin relaxes before a target"""
    hold: float = Field(ge=0)
    """ms after a target during which the margin is kept"""
    sigma: float = Field(gt=0)
    """width of the Gaussian kernel"""


class JitterParams(Section):
    """The tasks, and how their answers are judged."""

    afferents: int = Field(gt=0)
    targets: int = Field(gt=0)
    duration: float = Field(gt=0)
    """ms"""
    tasks: int = Field(gt=0)
    copies: int = Field(gt=0)
    """jittered trains of each task"""
    jitter: float = Field(gt=0)
    """ms, standard deviation of each input spike's shift"""
    window: float = Field(gt=0)
    """ms, how far from its target a spike may be"""


class Params(Section):
    svm: SvmParams
    task: JitterParams
    seed: int


def main(params: Params, metrics: Path) -> None:
    """Write 1 less the mean F1 of spikes on jittered trains, and on those learned from, and the share of tasks solved.

    A task that has no solution counts as F1 = 0.
    """
    import numpy as np

    from tessera.common.randomness import generator
    from tessera.tsvm import TemporalSVM
    from tessera.tsvm.tasks import jittered, poisson_problem

    task, learned, heard, solved = params.task, [], [], []
    for number in range(task.tasks):
        # The same tasks and the same jitter for every setting.
        rng = generator(params.seed, "tsvm", "jitter", number)
        spikes, targets = poisson_problem(rng, task.afferents, task.targets, task.duration)
        copies = [jittered(spikes, task.jitter, rng) for _ in range(task.copies)]
        model = TemporalSVM(kernel="gaussian", **params.svm.model_dump()).fit(spikes, targets)
        fires = model.status_ in ("certified", "feasible")
        solved.append(fires)
        learned.append(model.score(spikes, targets, task.window) if fires else 0.0)
        heard += [model.score(copy, targets, task.window) if fires else 0.0 for copy in copies]
    files.write_json(
        metrics,
        {
            "miss": 1 - float(np.mean(heard)),
            "miss_learned": 1 - float(np.mean(learned)),
            "solved": float(np.mean(solved)),
        },
    )


if __name__ == "__main__":
    stage.run(main)
