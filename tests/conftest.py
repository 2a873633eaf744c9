"""Tiny random parents, block libraries and token streams, for the tests of all studies."""

import gc
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tiny_models import GEMMA, PARENTS, SHAPE, TIED

# Read when transformers is imported: children bring their own code, which it copies there; nothing is downloaded.
_MODULES = tempfile.TemporaryDirectory(prefix="tessera-tests-")
os.environ["HF_MODULES_CACHE"] = _MODULES.name
os.environ["HF_HUB_OFFLINE"] = "1"

# No test is decided by the time that it takes: a machine may be busy.
settings.register_profile("tessera", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tessera")


def pytest_collection():
    """Do not look for garbage among the imported modules: that takes a sixth of the time of collecting the tests."""
    gc.disable()


def pytest_collection_finish():
    """Nor later, while tests run."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def parent(tmp_path_factory):
    """Return the directory of a parent of PARENTS or GEMMA, made once by transformers, all its parameters random."""
    made = {}

    def make(name="llama"):
        if name not in made:
            import torch
            import transformers

            kind, changes = (PARENTS | GEMMA | TIED)[name]
            generator = torch.Generator().manual_seed([*sorted(PARENTS), *GEMMA, *TIED].index(name))
            model = transformers.AutoModelForCausalLM.from_config(getattr(transformers, kind)(**SHAPE | changes))
            for key, p in model.named_parameters():
                noise = torch.randn(p.shape, generator=generator)
                p.data = 1 + 0.2 * noise if "norm" in key else 0.2 * noise
            made[name] = tmp_path_factory.mktemp(name)
            model.save_pretrained(made[name])
        return made[name]

    return make


@pytest.fixture(scope="session")
def variants():
    """A space with every kind of variant, for parents whose KV heads may be merged into one."""
    from tessera.puzzle.models.space import Space

    return Space.model_validate(
        {
            "attention": {
                "kv1": {"kind": "gqa", "kv_heads": 1},
                "linear": {"kind": "linear"},
                "no_op": {"kind": "no_op"},
            },
            "ffn": {
                "ffn50": {"kind": "gated", "width": 0.5},
                "ffn25": {"kind": "gated", "width": 0.25},
                "linear": {"kind": "linear"},
                "no_op": {"kind": "no_op"},
            },
        }
    )


@pytest.fixture(scope="session")
def library(parent, variants, tmp_path_factory):
    """Return directories that hold a block library with random weights for a parent of PARENTS."""
    made = {}

    def make(name="llama"):
        if name not in made:
            import torch

            from tessera.common import files
            from tessera.puzzle.models import loading
            from tessera.puzzle.models import variants as building

            model = loading.load(parent(name))
            made[name] = [tmp_path_factory.mktemp(name), tmp_path_factory.mktemp(name)]
            generator = torch.Generator().manual_seed(7)
            for layer in model.layers:
                tensors = {}
                for place, named in (("attention", variants.attention), ("ffn", variants.ffn)):
                    for variant, described in named.items():
                        part = building.part(layer, model.config, described)
                        if part["kind"] != "no_op":
                            module = building.build(layer, model.config, part, place)
                            tensors |= {
                                f"{place}.{variant}/{key}": torch.randn(value.shape, generator=generator) * 0.2
                                for key, value in module.state_dict().items()
                            }
                files.save_tensors(made[name][layer.index % 2] / f"layer_{layer.index}.safetensors", tensors)
        return made[name]

    return make


@pytest.fixture(scope="session")
def tokens(tmp_path_factory):
    """The directory of a token stream of a small Markov chain, in all splits."""
    import numpy as np
    import pandas as pd

    from tessera.common import files
    from tessera.data.tokens import stream

    random = np.random.default_rng(5)
    following = random.integers(2, SHAPE["vocab_size"], (SHAPE["vocab_size"], 3))
    directory, rows = tmp_path_factory.mktemp("tokens"), []
    for split, count in (("train", 40), ("valid", 12), ("test", 12), ("ood", 12)):
        documents = []
        for _ in range(count):
            document = [int(random.integers(2, SHAPE["vocab_size"]))]
            while len(document) < 60:
                document.append(int(following[document[-1], random.integers(3)]))
            documents.append(np.array(document, np.int32))
        joined, offsets = stream(documents, 0)
        files.write_npy(directory / f"{split}.npy", joined)
        sources = ["owt", "wikipedia_ood"] if split == "ood" else ["wiki_leads", "speeches"]
        rows += [
            {"source": sources[2 * i // count], "title": f"{split} {i}", "split": split, "offset": o, "length": len(d)}
            for i, (d, o) in enumerate(zip(documents, offsets, strict=True))
        ]
    files.write_parquet(directory / "documents.parquet", pd.DataFrame(rows))
    return directory


@pytest.fixture(scope="session")
def chain(tmp_path_factory):
    """Result files of the whole Puzzle chain for a parent of 4 layers, by the arguments of the report's stages."""
    import chain_files

    return chain_files.write(tmp_path_factory.mktemp("chain"))


@pytest.fixture(scope="session")
def repository():
    """The root of the repository."""
    return Path(__file__).parents[1]
