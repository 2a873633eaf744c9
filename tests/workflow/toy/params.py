"""Parameters of the toy study: the section `toy` of params.yaml."""

from pydantic import Field

from tessera.common.params import Section


class ToyParams(Section):
    """A random walk."""

    steps: int = Field(ge=1)
    """Length of a walk."""
    walks: dict[str, int] = Field(min_length=1)
    """Number of walks, by the name of the set."""


SECTIONS = {"toy": ToyParams}
