"""Facts and text of imagined models, for plans without one."""

from tessera.puzzle.compress.facts import Facts
from tessera.puzzle.compress.request import Request
from tessera.puzzle.compress.text import Text

RATES = {
    "threads": 1.0,
    "start": 5.0,
    "load": 2.0,
    "examine": 3.0,
    "layer": 1e-4,
    "layer_back": 3e-4,
    "update": 3e-3,
    "head": 1e-3,
    "head_back": 3e-3,
    "token": 0.05,
    "gigaflop": 0.05,
    "slowdown": 1.0,
    "spent": 0.0,
}
ATTENTION = {
    "llama": {"kv1": {"kind": "gqa", "kv_heads": 1, "reduction": "merge"}, "no_op": {"kind": "no_op"}},
    "gemma3_text": {"window32": {"kind": "gqa", "window": 32}, "no_op": {"kind": "no_op"}},
    "mixtral": {"no_op": {"kind": "no_op"}},
}
FFN = {
    "llama": {"ffn50": {"kind": "gated", "width": 0.5}, "no_op": {"kind": "no_op"}},
    "gemma3_text": {"ffn50": {"kind": "gated", "width": 0.5}, "linear": {"kind": "linear"}},
    "mixtral": {"experts50": {"kind": "gated", "experts": 0.5}, "active1": {"kind": "gated", "active": 1}},
}


def facts(family="llama", **changes):
    space = {"attention": ATTENTION[family], "ffn": FFN[family]}
    small = {place: {n: v for n, v in named.items() if n in ("kv1", "ffn50")} for place, named in space.items()}
    values = {
        "family": family,
        "layers": 30,
        "hidden_size": 576,
        "vocab_size": 49152,
        "kv_heads": 1 if family == "gemma3_text" else 3,
        "channels": 1536,
        "parameters": 134_515_008,
        "outside": 28_312_128,
        "spaces": {"full": space, "small": small},
        "refused": {},
        "rates": RATES,
        "window": 128,
        "cores": 2,
    }
    return Facts(**values | changes)


def text(**changes):
    values = {
        "sources": {"text": {"files": ["/a.jsonl"], "format": "text", "field": None, "title": None}},
        "percent": 5,
        "window": 128,
        "scored": 80,
        "tested": 128,
        "windows": {"train": {"text": 1000}, "valid": {"text": 50}, "test": {"text": 50}},
        "documents": 1000,
        "tokens": {"train": 128_000, "valid": 6400, "test": 6400},
        "longest": {"text": 300},
    }
    return Text(**values | changes)


def request(**changes):
    values = {"model": "directory:/model", "text": {"text": ["/a.jsonl"]}, "target": "cpu", "limit": {"speedup": 1.3}}
    return Request(**values | {"content": {}} | changes)
