"""Parameters of the data: the section `data` of params.yaml."""

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import Discriminator, Field, StringConstraints, Tag, ValidationInfo, field_validator, model_validator

from tessera.common.params import Section

#: Sources of data/packages.yaml, read by data/text.py; the second are evaluated on and never trained on.
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
#: A data set of the Hugging Face hub at one commit, and which of its files.
HUB = re.compile(r"hf:(?P<repository>[\w.-]+/[\w.-]+)@(?P<commit>[0-9a-f]{40})(/(?P<pattern>.+))?")
#: Names of sources become names of files; the names of packages' sources and of groups of sources are taken.
NAME = re.compile(r"[a-z][a-z0-9_]*")
RESERVED = {*get_args(Source), *get_args(OutOfDomain), "in_domain", "out_of_domain"}

Parent = Annotated[str, StringConstraints(pattern=r"^(package:[\w.-]+|directory:.+|hub:[\w.-]+/[\w.-]+(@[\w./-]+)?)$")]


class PackageSource(Section):
    """A source of data/packages.yaml."""

    characters: int | None = Field(ge=1)
    """Maximal number of characters; null for all."""


class OwnFiles(Section):
    """Files of your own, or of the hub."""

    files: list[str] = Field(min_length=1)
    """Paths and patterns (*, ?, **), relative to the repository or absolute: .txt, .jsonl, .jsonl.gz, .jsonl.zst,
    .json, .parquet, a directory of the datasets library's save_to_disk, or hf:OWNER/NAME@COMMIT[/PATTERN] of the hub.
    """

    @field_validator("files")
    @classmethod
    def _pinned(cls, files: list[str]) -> list[str]:
        for entry in files:
            if not entry or (entry.startswith("hf:") and not HUB.fullmatch(entry)):
                raise ValueError(
                    f"{entry!r}: expected a path or pattern, or hf:OWNER/NAME@COMMIT or hf:OWNER/NAME@COMMIT/PATTERN "
                    "with the 40 hexadecimal digits of a commit (a branch or tag may move)"
                )
        return files


class OwnSource(OwnFiles):
    """A source in files of your own."""

    format: Literal["text", "messages"] = "text"
    """What a document is: text, or a list of messages, {role, content}, that the parent's chat template renders."""
    field: str | None = None
    """Field of a row that holds it; null for the format's own name, text or messages."""
    title: str | None = "title"
    """Field that names a document, by which it is split; null for FILE:LINE, as where the field is missing."""
    loss: Literal["all", "answers"] = "all"
    """Tokens that are learnt from, scored and evaluated: all, or those of the assistant's messages, given all that
    stands before them.
    """
    characters: int | None = Field(default=None, ge=1)
    """Maximal number of characters; null for all."""
    licence: str | None = Field(default=None, min_length=1)
    """Licence of the text, which model cards state; null for one that is not stated."""
    cut: int | None = Field(default=None, ge=1)
    """Cut longer texts into documents of at most this many characters, between paragraphs where possible; null leaves
    them whole. For a few long texts, of which a split by document would leave some side without any.
    """

    @model_validator(mode="after")
    def _answers_of_messages(self) -> "OwnSource":
        if self.cut is not None and self.format != "text":
            raise ValueError(f"cut = {self.cut} with format = {self.format!r}: expected format: text")
        if self.loss == "answers" and self.format != "messages":
            raise ValueError(f"loss = 'answers' with format = {self.format!r}: expected format: messages")
        return self

    @property
    def column(self) -> str:
        """Field of a row that holds the document."""
        return self.field or self.format


def _kind(value: Any) -> str:
    """Which of the two a source is: one with files is your own."""
    own = "files" in value if isinstance(value, dict) else isinstance(value, OwnSource)
    return "own source" if own else "package source"


AnySource = Annotated[
    Annotated[PackageSource, Tag("package source")] | Annotated[OwnSource, Tag("own source")], Discriminator(_kind)
]


class OwnItems(OwnFiles):
    """A set of task items in files of your own: rows of prompt, choices (two texts or more) and answer, an index."""

    items: int | None = Field(default=None, ge=4)
    """Maximal number of items; null for all. Every second one chooses metric and sets, the others are reported."""
    join: str = " "
    """What stands between a prompt and a choice where neither has white space there."""


class TextParams(Section):
    """Which text, and how it is split."""

    sources: dict[str, AnySource] = Field(min_length=1)
    """Sources, each split by document into train, valid and test; null removes one of a lower layer.

    Of packages: opening sentences of vital Wikipedia articles (4.9 M characters), whole articles (2.8 M), annual
    messages of the presidents of the United States (6.4 M), recipes of the Wikibooks Cookbook as question and answer
    (2.8 M), and conversations of two people (12 M). Any other name is a source of your own: docs/own-text.md.
    """
    out_of_domain: dict[str, AnySource]
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

    @field_validator("sources", "out_of_domain", mode="before")
    @classmethod
    def _without_null(cls, sources: Any) -> Any:
        """Null removes a source of a lower layer."""
        return {n: s for n, s in sources.items() if s is not None} if isinstance(sources, dict) else sources

    @field_validator("sources", "out_of_domain")
    @classmethod
    def _named(cls, sources: dict[str, AnySource], info: ValidationInfo) -> dict[str, AnySource]:
        known = get_args(Source if info.field_name == "sources" else OutOfDomain)
        for name, source in sources.items():
            if isinstance(source, PackageSource) and name not in known:
                raise ValueError(
                    f"{name}: unknown source; expected one of {', '.join(known)}, or files: [...] for your own"
                )
            if isinstance(source, OwnSource) and (name in RESERVED or not NAME.fullmatch(name)):
                raise ValueError(
                    f"{name}: not a name for a source of your own; expected lower-case letters, digits and _, and none "
                    f"of {', '.join(sorted(RESERVED))}"
                )
        return sources

    @property
    def every(self) -> dict[str, AnySource]:
        """All sources by name."""
        return self.sources | self.out_of_domain

    @property
    def masked(self) -> bool:
        """Whether of some source only a part of the tokens counts."""
        return any(isinstance(source, OwnSource) and source.loss == "answers" for source in self.every.values())

    @model_validator(mode="after")
    def _in_one_place(self) -> "TextParams":
        if both := sorted(self.sources.keys() & self.out_of_domain.keys()):
            raise ValueError(f"{', '.join(both)}: in sources and in out_of_domain; expected in one of them")
        return self

    @model_validator(mode="after")
    def _some_training_text(self) -> "TextParams":
        if self.test_percent + self.valid_percent >= 100:
            raise ValueError(
                f"test_percent + valid_percent = {self.test_percent + self.valid_percent}: expected less than "
                "100, the rest being the training text"
            )
        return self


class TokensParams(Section):
    """How text becomes tokens."""

    ngram: int = Field(ge=2)
    """A document of any other split that shares this many consecutive words with training text is dropped."""
    separator: str | None
    """Token between documents; null for the tokenizer's end of text: <|endoftext|>, <|end_of_text|>, </s> or <eos>, the
    first that it has (in a chat model the end of a turn, such as <|im_end|>, is another token); else its eos_token_id.
    """


class DataParams(Section):
    """The section `data`."""

    parent: Parent
    """The model to compress: package:NAME of data/packages.yaml, directory:PATH of a Hugging Face directory, or
    hub:OWNER/NAME, with @REVISION to pin it: a causal language model of transformers whose layers are an attention and
    an FFN, one after the other. `tessera puzzle parent DIRECTORY` tries a model.
    """
    text: TextParams
    tokens: TokensParams


SECTIONS = {"data": DataParams}
