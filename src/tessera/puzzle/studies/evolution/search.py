"""One search on true KL: the choices that it begins with, the children that it runs, and the best of them."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tessera.puzzle import search as program
from tessera.puzzle.child import assemble, layer_file
from tessera.puzzle.heal.teacher import digest
from tessera.puzzle.models.decoder import LanguageModel
from tessera.puzzle.models.space import Space
from tessera.puzzle.scores.reference import Reference
from tessera.puzzle.search import Choice, block_library, budgets
from tessera.puzzle.search.block_library import Library
from tessera.puzzle.studies.evolution import evolve
from tessera.puzzle.studies.evolution.evolve import Evaluated, Ledger
from tessera.puzzle.studies.evolution.params import EvolutionParams, Search


@dataclass(frozen=True)
class Problem:
    """The choices of a block library within a budget of its blocks' time."""

    library: Library
    objective: str
    params: EvolutionParams

    @property
    def limits(self) -> dict[str, float]:
        """The budget, as the search takes it."""
        return {budgets.RUNTIME: budgets.runtime_for_speedup(self.library, self.params.speedup)}

    def evaluations(self, search: Search) -> int:
        """Return how many children a search runs."""
        return 1 if search == "program" else self.params.evaluations

    def start(self, search: Search, generator: np.random.Generator) -> list[Choice]:
        """Return the choices that a search begins with: the program's optimum, or random ones.

        Raises ValueError if no child is that fast.
        """
        optimum = program.solve(self.library, self.objective, self.limits)
        if not optimum.choice:
            raise ValueError(f"evolution.speedup = {self.params.speedup:g}: no child of the library is that fast")
        if search not in ("random", "evolution"):
            return [optimum.choice]
        count = self.evaluations(search) if search == "random" else self.params.population
        return [*evolve.draw(self.library, self.objective, self.limits, count, generator)]

    def run(self, search: Search, loss: Ledger, generator: np.random.Generator) -> Iterator[Evaluated]:
        """Yield the children of a search as they are run."""
        return evolve.evolve(
            self.library,
            loss,
            self.limits,
            self.start(search, generator),
            generator,
            self.evaluations(search),
            self.params.population,
            self.params.offspring,
            self.params.mutations,
        )

    def summary(self, children: Sequence[Evaluated], ledger: Ledger) -> tuple[list[str], dict[str, Any]]:
        """Return the blocks of the best child, and the rows of all children, the best one with what it costs."""
        best = min(children, key=lambda child: child.loss)
        return list(best.choice.values()), {
            "children": [ledger.row(child.choice) for child in children],
            "best": {
                **ledger.row(best.choice),
                "predicted": block_library.total(self.library, best.choice, self.objective),
                "runtime_ms": block_library.total(self.library, best.choice, budgets.RUNTIME),
            },
            "budget_ms": self.limits[budgets.RUNTIME],
        }


@dataclass(frozen=True)
class Runner:
    """Assembles children and measures their KL on the text of the search."""

    parent: LanguageModel
    space: Space
    library: Sequence[Path]
    """Directories of the block library."""
    tokens: Tensor
    """(windows, T + 1)"""
    documents: np.ndarray
    mask: Tensor | None = None
    """(windows, T), the positions that count; None if all do."""

    def child(self, blocks: Sequence[str]) -> LanguageModel:
        """Return the child of some blocks."""
        return assemble(self.parent, self.space, self.library, list(blocks))

    def ledger(self, path: Path) -> Ledger:
        """Return the ledger of KL in a file."""
        reference = Reference(self.parent, self.tokens, self.documents, self.mask)

        def measure(choice: Choice) -> dict[str, float]:
            metrics = reference.measure(self.child(list(choice.values())))
            return {key: metrics[key] for key in ("kl_div", "kl_div_se")}

        return Ledger(path, self._identity(), measure)

    def _identity(self) -> Mapping[str, Any]:
        """All that a child's KL depends on."""
        text = {"tokens": self.tokens, "documents": torch.from_numpy(self.documents)}
        layers = (layer_file(self.library, layer) for layer in range(len(self.parent.layers)))
        return {
            "parent": digest(self.parent.network.state_dict()),
            "text": digest(text if self.mask is None else text | {"mask": self.mask}),
            "library": [hashlib.sha256(path.read_bytes()).hexdigest() for path in layers],
            "space": self.space.model_dump(mode="json"),
            "torch": f"{torch.__version__}, {torch.get_num_threads()} threads",
        }
