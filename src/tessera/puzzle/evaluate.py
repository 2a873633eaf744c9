"""A child against its parent on held-out text: KL, top-1 agreement and perplexity, by domain, with intervals."""

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from tessera.puzzle import divergence
from tessera.puzzle.model import LanguageModel
from tessera.puzzle.score import head, summary


@torch.no_grad()
def evaluate(
    parent: LanguageModel,
    children: Mapping[str, LanguageModel],
    tokens: Tensor,
    domains: np.ndarray,
    documents: np.ndarray,
    groups: Mapping[str, list[str]],
    track: Callable[[Iterable[Tensor]], Iterable[Tensor]] = iter,
) -> dict[str, dict[str, dict[str, float]]]:
    """Metrics of each child, by domain and by group of domains.

    tokens (windows, T + 1) with the domain and the document of each window; groups names lists of domains whose windows
    are pooled. Returns child -> domain or group -> kl_div, lm_loss, top1, each with its standard error by document
    (_se), perplexity, and the parent's own perplexity as parent_perplexity.
    """
    collected: dict[str, list[divergence.Agreement]] = {name: [] for name in ("parent", *children)}
    for window in track(tokens):
        x = window[None, :-1]
        last = parent.model(x)[0]
        for name, model in (("parent", parent), *children.items()):
            states = last if model is parent else model.model(x)[0]
            collected[name] += divergence.compare(head(parent), last, head(model), [states], window[1:])
    found: dict[str, dict[str, dict[str, float]]] = {}
    everything = {domain: [domain] for domain in dict.fromkeys(domains)} | dict(groups)
    for name in children:
        found[name] = {}
        for domain, members in everything.items():
            chosen = np.flatnonzero(np.isin(domains, members))
            own = summary([collected[name][i] for i in chosen], documents[chosen])
            reference = summary([collected["parent"][i] for i in chosen], documents[chosen])
            own["perplexity"] = math.exp(own["lm_loss"])
            own["parent_perplexity"] = math.exp(reference["lm_loss"])
            own["windows"] = len(chosen)
            found[name][domain] = own
    return found
