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

Parent = Annotated[str, StringConstraints(pattern=r"^(package:[\w.-]+|directory:.+|hub:[\w.-]+/[\w.-]+(@[\w./-]+)?)$")]


class TextParams(Section):
    """Which text, and how it is split."""

    sources: dict[Source, Characters] = Field(min_length=1)
    """Maximal number of characters of each source, null for all; split by document into train, valid and test.

    Opening sentences of vital Wikipedia articles (4.9 M characters), whole articles (2.8 M), annual messages of the
    presidents of the United States (6.4 M), recipes of the Wikibooks Cookbook as question and answer (2.8 M), and
    conversations of two people (12 M).
    """
    out_of_domain: dict[OutOfDomain, Characters]
    """The same for sources that are only evaluated on: paragraphs of OpenWebText (0.7 M) and of Wikipedia (0.6 M)."""
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
    """Token between documents; null for the parent's end of text, which for a chat model is that of a turn."""


class DataParams(Section):
    """The section `data`."""

    parent: Parent
    """The model to compress: package:NAME of data/packages.yaml, directory:PATH of a Hugging Face directory, or
    hub:OWNER/NAME, with @REVISION to pin it. Supported are the shapes of Llama, Mistral, Qwen2 and Qwen3.
    """
    text: TextParams
    tokens: TokensParams


SECTIONS = {"data": DataParams}
