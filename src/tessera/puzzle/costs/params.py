"""Parameters of the costs: what is served, on which hardware, and where the numbers come from."""

from typing import Literal, Self

from pydantic import Field, model_validator

from tessera.common.params import Section

Dtype = Literal["float32", "float16", "bfloat16", "fp8"]
Source = Literal["measured", "h100-database", "roofline"]

#: What each source knows: hardware, software (the first is the default) and data types.
VALID: dict[str, dict[str, tuple[str, ...]]] = {
    "measured": {
        "hardware": ("cpu", "cuda"),
        "software": ("torch",),
        "dtype": ("float32", "float16", "bfloat16"),
    },
    "h100-database": {
        "hardware": ("h100-sxm",),
        "software": ("trtllm", "vllm", "sglang"),
        "dtype": ("bfloat16", "fp8"),
    },
    "roofline": {
        "hardware": ("h100-sxm", "h200-sxm", "a100-sxm"),
        "software": ("none",),
        "dtype": ("bfloat16", "fp8"),
    },
}
MEASURED_ONLY = ("threads", "repeats")


class Workload(Section):
    """A batch of requests: prompts read in one or more forward passes, then decode steps of one token a sequence."""

    batch: int = Field(ge=1, description="sequences decoded together")
    prefill: int = Field(ge=1, description="tokens of each prompt")
    decode: int = Field(ge=0, description="decode steps; step t sees a context of prefill + t tokens, its own included")
    max_num_tokens: int = Field(8192, ge=1, description="most prompt tokens that one forward pass takes")


class CostTarget(Section):
    """A hardware and a workload whose costs one table holds."""

    source: Source
    hardware: str
    software: str = Field("", description="serving software; empty is the source's own or first")
    dtype: Dtype
    workload: Workload
    threads: int | None = Field(None, ge=1, description="CPU threads of a measurement; null takes torch's default")
    repeats: int | None = Field(None, ge=2, description="rounds of a measurement; null is 15")

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        valid = VALID[self.source]
        for field in ("hardware", "software", "dtype"):
            value = getattr(self, field)
            if value not in valid[field] and (field, value) != ("software", ""):
                raise ValueError(f"{field} is {value!r}; with source {self.source} valid are {', '.join(valid[field])}")
        if self.hardware == "a100-sxm" and self.dtype == "fp8":
            raise ValueError("dtype is 'fp8'; an A100 has no fp8 arithmetic: valid is bfloat16")
        for field in MEASURED_ONLY:
            if self.source != "measured" and getattr(self, field) is not None:
                raise ValueError(f"{field} is for source measured, not {self.source}")
        if self.hardware == "cuda" and self.threads is not None:
            raise ValueError("threads is for hardware cpu, not cuda")
        return self

    @property
    def software_name(self) -> str:
        """The serving software, the source's default where none is given."""
        return self.software or VALID[self.source]["software"][0]


class CostsParams(Section):
    """Cost tables by name; each is a target of the search."""

    targets: dict[str, CostTarget] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_file_names(self) -> Self:
        for name in self.targets:
            if not name or not name.replace("-", "").replace("_", "").isalnum():
                raise ValueError(f"targets.{name}: a name is of letters, digits, '-' and '_'")
        return self
