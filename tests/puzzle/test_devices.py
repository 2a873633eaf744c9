"""Every function of the chain on a pretend accelerator: no tensor is left elsewhere, and the numbers are the CPU's.

The accelerator has a process of its own, because autograd asks for the devices once.
"""

import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from pretend_gpu import pretend_gpu
from small_library_params import PARAMS

from tessera.puzzle import child
from tessera.puzzle.costs import measured
from tessera.puzzle.costs.params import CostTarget
from tessera.puzzle.costs.tables import table_rows
from tessera.puzzle.heal import refit, train
from tessera.puzzle.library.activations import store_before
from tessera.puzzle.library.build import LayerLibrary
from tessera.puzzle.models import architecture, loading, placement
from tessera.puzzle.params import HealParams, LibraryParams, RefitParams
from tessera.puzzle.scores import choices, evaluate, replace_one
from tessera.puzzle.scores.reference import Reference, composed
from tessera.puzzle.serve import speed

TOKENS = torch.randint(1, 64, (6, 13), generator=torch.Generator().manual_seed(2))
DOCUMENTS = np.array([4, 4, 9, 2, 9, 9])
SERVED = CostTarget(
    source="measured", hardware="cpu", dtype="float32", workload={"batch": 2, "prefill": 5, "decode": 3}, threads=1
)
#: Positions that count, on the CPU wherever the models are; some steps take it, the others count all.
MASK = torch.arange(12)[None] % torch.arange(2, 8)[:, None] == 1
CHOICE = ["kv1+parent", "no_op+ffn50", "linear+linear"]
SCHEDULE = {"tokens": 96, "batch_windows": 2, "learning_rate": 3e-3, "weight_decay": 0.01, "warmup": 0.1}


class Chain:
    """A parent, its variants and a child on one device."""

    def __init__(self, parent, library, variants, tmp_path, device):
        self.device, self.variants, self.tmp, self.directory = str(device), variants, tmp_path, parent
        self.model = loading.load(parent, device).requires_grad_(False)
        self.modules = child.variants_of(self.model, variants, library, (0, 2))
        self.child = child.assemble(self.model, variants, library, CHOICE)

    def activations(self):
        states = store_before([0, 2], self.model, TOKENS, self.tmp / f"states-{self.device}")
        return [states[layer][:].tolist() for layer in (0, 2)]

    def library(self, masks=(None, None), **changes):
        states = replace_one.hidden_states(self.model, TOKENS)[0][1].cpu()
        scratch = self.tmp / f"library-{self.device}"
        scratch.mkdir()
        params = LibraryParams.model_validate(PARAMS | changes)
        builder = LayerLibrary(
            self.model,
            1,
            self.variants,
            params,
            states[:4],
            states[4:],
            lambda _: torch.Generator().manual_seed(0),
            scratch,
            masks,
        )
        tensors, records = builder.build()
        return records | {name: float(value.double().square().sum()) for name, value in tensors.items()}

    def masked_library(self):
        mask = torch.arange(13).expand(6, 13) > 1
        return self.library((mask[:4], mask[4:]), ridge=1e-2, distillation=PARAMS["distillation"] | {"tokens": 96})

    def scores(self):
        return replace_one.score(self.model, self.modules, TOKENS, DOCUMENTS, mask=MASK)

    def blocks(self):
        pairs = {0: {"a": (self.modules[0]["attention"]["kv1"], self.modules[0]["ffn"]["ffn50"]), "b": (None, None)}}
        return composed(self.model, pairs, TOKENS, DOCUMENTS)

    def reference(self):
        return Reference(self.model, TOKENS, DOCUMENTS, MASK).measure(self.child)

    def costs(self):
        """Every piece of a cost table runs, by the clock of the CPU."""
        shape = architecture.from_config(self.model.config.to_dict())
        target = SERVED.model_copy(update={"hardware": self.device, "repeats": 2})
        clock = measured._clock(torch.device("cpu"))
        with mock.patch.multiple(measured, _clock=lambda _: clock, cache_bytes=lambda _: 1):
            times, *_ = measured.times(shape, table_rows(shape, self.variants), target)
        return [[row.subblock, row.name, taken["prefill_ms"] > 0] for row, taken in times.items()]

    def serving(self):
        """Which tokens parent and child decode, and how many passes are timed."""
        models, tokens = {"parent": self.model, "child": self.child}, []
        head = self.child.network.get_input_embeddings()
        hook = head.register_forward_hook(lambda _, inputs, __: tokens.append(inputs[0].cpu().tolist()))
        taken = speed.passes(models, SERVED, 2)
        hook.remove()
        return tokens, [[phase for phase, _ in row[name]] for row in taken for name in models]

    def saved(self):
        """The child that a checkpoint holds, read again on the CPU."""
        directory = self.tmp / f"child-{self.device}"
        child.save(self.child, self.directory, directory)
        again = loading.load(directory, "cpu")
        return {name: float(value.double().square().sum()) for name, value in again.state().items()}

    def evaluation(self):
        domains = np.array(["a", "a", "b", "b", "a", "b"])
        return evaluate.evaluate(self.model, {"child": self.child}, TOKENS, domains, DOCUMENTS, {"all": ["a", "b"]})

    def items(self):
        items = [choices.Tokens([3, 4, 5], [[6], [7, 8]]), choices.Tokens([9], [[1, 2, 3], [4], [5]])]
        return choices.log_probabilities(self.child, items)

    def healing(self, mask=None):
        params = HealParams.model_validate(
            {
                "train": "all",
                "cosine": 1.0,
                "kl": 1.0,
                "lm": 0.3,
                "equal": SCHEDULE,
                "full": SCHEDULE,
                "checkpoint_steps": 2,
            }
        )
        generator = torch.Generator().manual_seed(0)
        curve = train.heal(self.model, self.child, TOKENS, params, params.equal, generator, mask=mask)
        return [curve.kl_div, curve.cosine, curve.lm_loss]

    def masked_healing(self):
        return self.healing(MASK)

    def refit(self, mask=None):
        params = RefitParams(tokens=39, valid_windows=3, ridges=(0.1, 1.0))
        with tempfile.TemporaryDirectory() as scratch:
            fits = refit.refit(self.model, self.child, TOKENS[:, :-1], 3, params, Path(scratch), mask)
        return [asdict(fit) for fit in fits]

    def masked_refit(self):
        return self.refit(MASK)


STEPS = [name for name in vars(Chain) if not name.startswith("_")]


#: Relative tolerance: Adam divides by gradients that are zero to rounding, so training amplifies the last digit.
ROUNDING = dict.fromkeys(("library", "masked_library", "healing", "masked_healing"), 2e-2)


def close(here, there, rounding=1e-3):
    """Whether two results of nested containers are the same numbers, to rounding."""
    if isinstance(here, dict):
        return here.keys() == there.keys() and all(close(here[key], there[key], rounding) for key in here)
    if isinstance(here, list | tuple):
        return len(here) == len(there) and all(close(a, b, rounding) for a, b in zip(here, there, strict=True))
    if isinstance(here, float):
        return there == pytest.approx(here, rel=rounding, abs=1e-5)
    return here == there


def on_accelerator(step, *given):
    """A step's result, after a look that mixed devices are noticed."""
    # In inference mode torch does not ask subclasses of tensors about every operator.
    with pretend_gpu() as device, mock.patch.object(torch, "inference_mode", torch.no_grad):
        chain = Chain(*given, device)
        with pytest.raises(RuntimeError, match="same device"):
            chain.model.network(TOKENS)
        return getattr(chain, step)()


def on_two_devices(step, *given):
    """A step's result with the layers of parent and child on the accelerator and the CPU, and where they are.

    Autograd knows one accelerator alone, so the CPU is the other device.
    """
    with pretend_gpu() as device, mock.patch.object(torch, "inference_mode", torch.no_grad):
        chain = Chain(*given, [torch.device(device, 0), torch.device("cpu")])
        places = [{str(p.device) for p in chain.child.module(index).parameters()} for index in range(3)]
        return getattr(chain, step)(), places


@pytest.fixture(scope="module")
def accelerator():
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as process:
        yield process


@pytest.mark.parametrize("step", STEPS)
def test_step_on_an_accelerator_gives_the_numbers_of_the_cpu(step, accelerator, parent, library, variants, tmp_path):
    given = parent(), library(), variants, tmp_path
    there = accelerator.submit(on_accelerator, step, *given)
    expected = getattr(Chain(*given, "cpu"), step)()
    assert close(expected, there.result(), ROUNDING.get(step, 1e-3))


#: What runs whole models, whose layers may be spread.
WHOLE = ("activations", "reference", "evaluation", "items", "refit", "masked_refit", "scores", "saved")


@pytest.mark.parametrize("step", WHOLE)
def test_step_with_layers_on_two_devices(step, accelerator, parent, library, variants, tmp_path):
    given = parent(), library(), variants, tmp_path
    there = accelerator.submit(on_two_devices, step, *given)
    expected = getattr(Chain(*given, "cpu"), step)()
    result, places = there.result()
    assert close(expected, result)
    assert places == [{"gpu:0"}, {"cpu"}, {"cpu"}]


@pytest.mark.parametrize("name", ["gemma3", "llama_biases"])
def test_refit_of_other_families_on_two_devices(name, accelerator, parent, library, variants, tmp_path):
    test_step_with_layers_on_two_devices(
        "refit", accelerator, lambda: parent(name), lambda: library(name), variants, tmp_path
    )


def test_runs_of_layers_fill_devices_alike():
    assert placement.runs([2, 2, 2, 2], 0, 1) == [0, 0, 0, 0]
    assert placement.runs([2, 2, 2, 2], 0, 2) == [0, 0, 1, 1]
    assert placement.runs([2, 2, 2, 2], 4, 2) == [0, 1, 1, 1]
    assert placement.runs([1, 1, 1, 9], 0, 3) == [0, 0, 0, 1]
    assert placement.runs([1], 20, 4) == [3]
