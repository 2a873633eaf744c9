"""Text that a model writes after a prompt, greedily or drawn."""

import torch
from torch import Tensor

from tessera.puzzle.models.cache import new_cache
from tessera.puzzle.models.decoder import LanguageModel


@torch.no_grad()
def generate(model: LanguageModel, prompts: Tensor, count: int, temperature: float = 0.0, seed: int = 0) -> Tensor:
    """Return the `count` tokens (B, count) that follow prompts (B, P), of equal length.

    At temperature 0 each is the likeliest, else drawn from softmax(logits / temperature) by inversion: a model gets the
    same uniform number as another for the same place, so that alike models write alike texts.
    """
    B, P = prompts.shape
    generator = torch.Generator().manual_seed(seed)
    cache, written, tokens = new_cache(model.config, P + count), [], prompts
    for _ in range(count):
        step = model.network(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1)  # type: ignore[operator]
        logits = step.logits[:, -1].double()
        if temperature:
            summed = (logits / temperature).softmax(-1).cumsum(-1)
            uniform = torch.rand(B, 1, generator=generator, dtype=torch.float64)
            tokens = torch.searchsorted(summed, uniform * summed[:, -1:], right=True).clamp_max(logits.shape[-1] - 1)
        else:
            tokens = logits.argmax(-1, keepdim=True)
        written.append(tokens)
    return torch.cat(written, 1)
