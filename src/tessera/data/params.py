"""Parameters of the data: the section `data` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from tessera.common.params import Section

Source = Literal["wiki_leads", "wiki_articles", "speeches", "recipes", "chat"]
OutOfDomain = Literal["owt", "wikipedia_ood"]
#: Sets of task items that data/items.py reads.
TaskSet = Literal[
    "agreement_simple",
    "agreement_nounpp",
    "agreement_linzen",
    "agreement_nonce",
    "hyperbaton",
    "goal_inference",
    "step_inference",
    "timedial",
    "discourse_marker",
    "mmlu_cloze",
    "general_knowledge",
    "phrase_relatedness",
    "similarities",
    "cause_and_effect",
]
Characters = Annotated[int, Field(ge=1)] | None

#: package:NAME of data/packages.yaml, directory:PATH, or hub:OWNER/NAME, with @REVISION where it matters.
Parent = Annotated[str, StringConstraints(pattern=r"^(package:[\w.-]+|directory:.+|hub:[\w.-]+/[\w.-]+(@[\w./-]+)?)$")]


class TextParams(Section):
    """Which text, and how it is split."""

    sources: dict[Source, Characters] = Field(min_length=1)
    """Sources that are split into train, valid and test: characters at most, null for all."""
    out_of_domain: dict[OutOfDomain, Characters]
    """Sources that are only ever evaluated on."""
    min_characters: int = Field(ge=1)
    """Shorter documents are left out."""
    min_turns: int = Field(ge=1)
    """Conversations of fewer turns are left out."""
    first_year: int = Field(ge=1790)
    """Older speeches are left out."""
    test_percent: int = Field(ge=0, le=50)
    """Share of the documents of each source held out for the final evaluation, %."""
    valid_percent: int = Field(ge=0, le=50)
    """Share held out for choices along the way (calibration of scores, early looks), %."""

    @model_validator(mode="after")
    def _some_training_text(self) -> "TextParams":
        if self.test_percent + self.valid_percent >= 100:
            raise ValueError(
                f"test_percent + valid_percent = {self.test_percent + self.valid_percent}: valid is below 100, "
                "the rest being the training text"
            )
        return self


class TokensParams(Section):
    """How text becomes tokens."""

    ngram: int = Field(ge=2)
    """An out-of-domain document that shares this many consecutive words with training text is dropped."""
    separator: str | None
    """Token that stands between documents, null for the parent's end-of-text token."""


class DataParams(Section):
    """The section `data`."""

    parent: Parent
    text: TextParams
    tokens: TokensParams


SECTIONS = {"data": DataParams}
