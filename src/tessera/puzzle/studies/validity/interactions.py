"""How the effects of exchanged subblocks interact in the logits: their inner products in the parent's own metric.

For a token, with the parent's distribution p and an exchange's change of the log-probabilities d = log q - log p,

    <d_i, d_j> = Cov_p(d_i, d_j) = sum_v p_v d_i,v d_j,v - (sum_v p_v d_i,v)(sum_v p_v d_j,v)

summed over tokens: the metric in which KL(p || q) = 1/2 <d, d> to second order. It takes the same suffix passes as the
scores, and one product of matrices over the vocabulary. Derived here; not in the paper.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.scores import divergence
from tessera.puzzle.scores.reference import with_exchange
from tessera.puzzle.scores.replace_one import hidden_states
from tessera.puzzle.text import Batch, batches

#: Log-probabilities held at once, in numbers: 256 MiB of float32.
HELD = 2**26

Label = tuple[int, str, str]


@torch.no_grad()
def responses(
    parent: LanguageModel,
    modules: Mapping[Label, nn.Module | None],
    tokens: Tensor,
    track: Callable[[Sequence[Batch]], Iterable[Batch]] = iter,
    mask: Tensor | None = None,
) -> tuple[np.ndarray, list[dict[str, np.ndarray]]]:
    """Inner products (n, n) of the effects of n exchanges, a mean over tokens; and the metrics of each by window.

    modules are keyed (layer, subblock, variant); tokens (windows, T + 1). Metrics are kl_div, lm_loss, top1 and cosine,
    the distance 1 - cos of last hidden states, (windows,) each. mask (windows, T) has the positions that count; None if
    all do.
    """
    n = len(modules)
    gram = torch.zeros(n, n, dtype=torch.float64)
    series: list[dict[str, list[float]]] = [{m: [] for m in ("kl_div", "lm_loss", "top1", "cosine")} for _ in modules]
    windows = batches(tokens, mask, 1)
    for window in track(windows):
        before, _, calls = hidden_states(parent, window.inputs)
        last, targets = window.counted(before[-1]), window.targets
        ends = last.new_empty(n, *last.shape)
        for k, ((i, part, _), module) in enumerate(modules.items()):
            other = parent.layer(i).subblock("ffn" if part == "attention" else "attention")
            pair = (module, other) if part == "attention" else (other, module)
            ends[k] = window.counted(with_exchange(parent, i, pair, before[i], calls))
        for values, end in zip(series, ends, strict=True):
            values["cosine"].append(float((1 - F.cosine_similarity(end, last, dim=-1)).mean()))
        for values, agreement in zip(
            series, divergence.compare(parent.head, last, [(parent.head, end) for end in ends], targets), strict=True
        ):
            for metric in ("kl_div", "lm_loss", "top1"):
                values[metric].append(getattr(agreement, metric).double().mean().item())
        step = max(1, HELD // (n * parent.config.vocab_size))
        for start in range(0, len(targets), step):
            log_p = parent.head(last[start : start + step]).log_softmax(-1)
            p = log_p.exp()
            d = parent.head(ends[:, start : start + step]).log_softmax(-1).sub_(log_p)  # (n, tokens, V)
            d -= (d * p).sum(-1, keepdim=True)
            d = d.mul_(p.sqrt()).flatten(1)
            gram += (d @ d.T).double().cpu()
    gram /= sum(sum(window.sizes) for window in windows)
    return gram.numpy(), [{metric: np.array(values) for metric, values in row.items()} for row in series]
