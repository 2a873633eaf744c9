"""Parameters of the searches on true KL."""

from typing import Literal

from pydantic import Field

from tessera.common.params import Section

#: The program's optimum alone; random children; evolution from random children; evolution from the program's optimum.
Search = Literal["program", "random", "evolution", "warm"]


class EvolutionParams(Section):
    """Searches that run every child that they consider, compared with the program, which runs none."""

    target: str | None = Field(
        description="cost target whose budget all children meet; null for the first measured one, or else the first"
    )
    speedup: float = Field(gt=1, description="throughput of the blocks, in multiples of the parent's")
    windows: int = Field(ge=1, description="windows on which children are compared, the first of those of the scores")
    test_windows: int = Field(ge=1, description="windows of test text, as long, for the best child of each search")
    seeds: int = Field(ge=1, description="runs of each search")
    population: int = Field(ge=1, description="random children that evolution begins with, and parents of a generation")
    offspring: int = Field(ge=1, description="children of a generation")
    generations: int = Field(ge=1)
    mutations: float = Field(
        ge=0, description="mean number of an offspring's swaps beyond the first; a swap redraws two layers"
    )

    @property
    def evaluations(self) -> int:
        """Children that a search runs, the same number for all but the program."""
        return self.population + self.generations * self.offspring


SECTIONS = {"evolution": EvolutionParams}
