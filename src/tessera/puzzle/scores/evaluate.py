"""A child against its parent on held-out text: KL, top-1 agreement and perplexity, by domain, with intervals."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tessera.puzzle import text
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.scores import divergence
from tessera.puzzle.scores.replace_one import BATCH_TOKENS, by_window, summary
from tessera.puzzle.text import Batch


@torch.no_grad()
def evaluate(
    parent: LanguageModel,
    children: Mapping[str, LanguageModel],
    tokens: Tensor,
    domains: np.ndarray,
    documents: np.ndarray,
    groups: Mapping[str, list[str]],
    track: Callable[[Sequence[Batch]], Iterable[Batch]] = iter,
    mask: Tensor | None = None,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Metrics of each child, by domain and by group of domains.

    tokens (windows, T + 1) with the domain and the document of each window; groups names lists of domains whose windows
    are pooled. Returns child -> domain or group -> kl_div, lm_loss, top1, each with its standard error by document
    (_se), perplexity, and the parent's own perplexity as parent_perplexity. Groups also hold by_window: the KL of each
    window, its document and, if windows differ in it, its number of tokens, by which children are compared.

    mask (windows, T) has the positions that count, None for all. All are means over these positions, so that a domain
    with more of them weighs more in a group.
    """
    collected: dict[str, list[divergence.Agreement]] = {name: [] for name in ("parent", *children)}
    for batch in track(text.batches(tokens, mask, max(1, BATCH_TOKENS // (tokens.shape[1] - 1)))):
        last = batch.counted(parent.last(batch.inputs))
        outputs = {"parent": (parent.head, last)}
        outputs |= {name: (model.head, batch.counted(model.last(batch.inputs))) for name, model in children.items()}
        agreements = divergence.compare(parent.head, last, list(outputs.values()), batch.targets)
        for name, agreement in zip(outputs, agreements, strict=True):
            collected[name] += agreement.split(batch.sizes)
    results: dict[str, dict[str, dict[str, Any]]] = {}
    everything = {domain: [domain] for domain in dict.fromkeys(map(str, domains))} | dict(groups)
    for name in children:
        results[name] = {}
        for domain, members in everything.items():
            chosen = np.flatnonzero(np.isin(domains, members))
            own = [collected[name][i] for i in chosen]
            metrics: dict[str, Any] = dict(summary(own, documents[chosen]))
            reference: dict[str, Any] = dict(summary([collected["parent"][i] for i in chosen], documents[chosen]))
            metrics["perplexity"] = math.exp(metrics["lm_loss"])
            metrics["parent_perplexity"] = math.exp(reference["lm_loss"])
            metrics["windows"] = len(chosen)
            if domain in groups:
                series = {key: values for key, values in by_window(own).items() if key in ("kl_div", "tokens")}
                metrics["by_window"] = series | {"document": documents[chosen].tolist()}
            results[name][domain] = metrics
    return results
