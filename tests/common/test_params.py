"""Parameters: what does not fit is refused, with where, what, and what would be valid."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError, model_validator

from tessera.common import params
from tessera.common.params import Section


class Measured(Section):
    kind: Literal["measured"]
    repeats: int = Field(gt=0)


class Database(Section):
    kind: Literal["database"]
    batch: int


class Step(Section):
    tokens: int = Field(gt=0, description="tokens of training text")
    betas: tuple[float, float] = (0.9, 0.95)
    share: float = Field(0.5, gt=0, lt=1)
    limits: dict[str, Annotated[float, Field(ge=0)] | Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    variants: tuple[str, ...] = ()
    method: Literal["mip", "greedy"] = "mip"
    """How the choice is made."""

    @model_validator(mode="after")
    def _beta(self) -> "Step":
        if self.betas[0] > self.betas[1]:
            raise ValueError("the first of betas may not be above the second")
        return self


class Whole(Section):
    seed: int
    step: Step
    targets: dict[str, Annotated[Measured | Database, Field(discriminator="kind")]] = Field(default_factory=dict)


BASE = "seed: 0\nstep:\n  tokens: 5\n"


def load(tmp_path: Path, *texts: str) -> Whole:
    paths = [tmp_path / f"{name}.yaml" for name, _ in zip("abc", texts, strict=False)]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return params.load(Whole, *paths)


def test_overlays(tmp_path: Path) -> None:
    whole = load(tmp_path, BASE + "  share: 0.1\n", "step: {tokens: 7, betas: [0.1, 0.2]}", "seed: 3")
    assert (whole.seed, whole.step.tokens, whole.step.share, whole.step.betas) == (3, 7, 0.1, (0.1, 0.2))
    with pytest.raises(ValidationError):
        whole.step.tokens = 8  # type: ignore[misc]


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        (
            "step: {token: 1}",
            "b.yaml: step.token: unknown key; did you mean 'tokens'? "
            "expected one of: betas, limits, method, share, tokens, variants",
        ),
        ("other: 1", "b.yaml: other: unknown key; expected one of: seed, step, targets"),
        ("step: {tokens: '5'}", "b.yaml: step.tokens = '5'; must be a valid integer; YAML reads 5 as text"),
        ("step: {share: 1e-3}", "b.yaml: step.share = '1e-3'; must be a valid number; YAML reads 1e-3 as text"),
        ("step: {tokens: 0}", "b.yaml: step.tokens = 0; must be greater than 0"),
        ("step: {tokens: 2.5}", "b.yaml: step.tokens = 2.5; must be a valid integer"),
        ("step: {tokens: true}", "b.yaml: step.tokens = True; must be a valid integer"),
        ("step: {share: .nan}", "b.yaml: step.share = nan; must be a finite number"),
        ("step: {share: .inf}", "b.yaml: step.share = inf; must be a finite number"),
        ("step: {betas: [0.1, .nan]}", "b.yaml: step.betas.1 = nan; must be a finite number"),
        ("step: {limits: {ms: .inf}}", "b.yaml: step.limits.ms = inf; must be a finite number"),
        ("step: {limits: {ms: '-.inf'}}", "b.yaml: step.limits.ms = '-.inf'; must be a valid number"),
        ("step: {method: no}", "b.yaml: step.method = False; must be 'mip' or 'greedy'; YAML reads names such as no"),
        (
            "step: {variants: [full, off]}",
            "b.yaml: step.variants.1 = False; must be a valid string; YAML reads names such as",
        ),
        ("step: {betas: [0.1]}", "b.yaml: step.betas.1 is missing; expected a value"),
        ("step: {betas: [0.1, x]}", "b.yaml: step.betas.1 = 'x'; must be a valid number"),
        ("step: {betas: [0.9, 0.1]}", "b.yaml: step: the first of betas may not be above the second"),
        ("step: {method: best}", "b.yaml: step.method = 'best'; must be 'mip' or 'greedy'"),
        ("step: 3", "b.yaml: step = 3; must be a mapping"),
        ("targets: {h100: {kind: measured, repeats: 0}}", "b.yaml: targets.h100.repeats = 0; must be greater than 0"),
        (
            "targets: {h100: {kind: database, bach: 1}}",
            "b.yaml: targets.h100.bach: unknown key; did you mean 'batch'?",
        ),
        ("targets: {h100: {kind: database}}", "b.yaml: targets.h100.batch is missing; expected int"),
    ],
)
def test_faults(tmp_path: Path, overlay: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        load(tmp_path, BASE, overlay)
    assert any(line.startswith(f"{tmp_path}/{message}") for line in str(caught.value).splitlines()), str(caught.value)


def test_all_faults_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        load(tmp_path, "seed: x\nstep: {betas: 1}\n")
    assert [line.split(".yaml: ")[1] for line in str(caught.value).splitlines()] == [
        "seed = 'x'; must be a valid integer",
        "step.tokens is missing; expected int, tokens of training text",
        "step.betas = 1; must be a valid array",
    ]


def test_file_of_the_fault(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"/a\.yaml: step\.tokens = -1"):
        load(tmp_path, "seed: 0\nstep: {tokens: -1}", "step: {share: 0.5}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", r"a.yaml: the key 'a' is there twice .*line 3"),
        ("a:\n  no: 1\n", r"a.yaml: YAML reads the key no as false; write it in quotes, as in \"no\" .*line 2"),
        ("a: {1: 2}\n", r"a.yaml: YAML reads the key 1 as 1; write it in quotes, as in \"1\""),
        ("a: {~: 2}\n", r"a.yaml: YAML reads the key ~ as null"),
        ("a: {2020-01-01: 2}\n", r"a.yaml: YAML reads the key 2020-01-01 as \"2020-01-01\"; write it in quotes"),
        ("a: [1", r"a.yaml: while parsing a flow sequence"),
        ("- 1", r"a.yaml: holds a list; expected a mapping of sections"),
    ],
)
def test_files_that_are_no_parameters(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        params.read(tmp_path / "a.yaml")


def test_missing_and_empty_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.yaml"):
        params.read(tmp_path / "none.yaml")
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert params.read(tmp_path / "empty.yaml") == {}


def test_merge_replaces_lists() -> None:
    assert params.merge({"a": {"b": [1, 2], "c": 1}, "d": 1}, {"a": {"b": [3]}}) == {"a": {"b": [3], "c": 1}, "d": 1}


def test_keys_that_another_reader_of_yaml_took_for_values() -> None:
    with pytest.raises(ValueError, match=r"targets\.False: YAML reads this key as false; write it in quotes"):
        params.check(Whole, {"seed": 0, "step": {"tokens": 1}, "targets": {False: {"kind": "database", "batch": 1}}})
