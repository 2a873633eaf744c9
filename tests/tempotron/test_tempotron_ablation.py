import numpy as np

from tessera.neurons.spikes import SpikeBatch
from tessera.tempotron.ablation import jittered
from tessera.tempotron.params import AblationParams


def test_jitter_moves_spikes_within_their_pattern():
    spikes = SpikeBatch.from_dense(np.random.default_rng(0).uniform(0, 100, (50, 20)), 100.0)
    moved = jittered(spikes, 2.0, np.random.default_rng(1))
    shifts = [moved[p][0][np.argsort(moved[p][1])] - spikes[p][0][np.argsort(spikes[p][1])] for p in range(50)]
    assert 1.8 < np.std(shifts) < 2.2
    assert moved.times.min() >= 0 and moved.times.max() <= 100


def test_margins_are_compared_at_the_largest_momentum_and_the_middle_rate():
    p = AblationParams(
        afferents=2, k=1.0, load=1.0, replicates=1, momenta=[0.9, 0.0], rates=[3.0, 1.0, 2.0], margins=[0.0],
        jitter=1.0, max_epochs=1,
    )  # fmt: skip
    assert p.compared == (0.9, 2.0)
