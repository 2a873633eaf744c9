"""Parameters of the costs: workload, hardware and source of the numbers."""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from tessera.common.params import Section

Dtype = Literal["float32", "float16", "bfloat16", "fp8", "q8_0", "q5_0", "q4_0", "mxfp4"]
Source = Literal["measured", "llama.cpp", "vllm", "kernel-database", "roofline"]

#: What each source supports: hardware, software (the first is the default) and data types.
VALID: dict[str, dict[str, tuple[str, ...]]] = {
    "measured": {
        "hardware": ("cpu", "cuda"),
        "software": ("torch",),
        "dtype": ("float32", "float16", "bfloat16"),
    },
    "llama.cpp": {
        "hardware": ("cpu",),
        "software": ("llama.cpp",),
        "dtype": ("q8_0", "q5_0", "q4_0", "mxfp4", "float16", "bfloat16", "float32"),
    },
    "vllm": {
        "hardware": ("cpu", "cuda"),
        "software": ("vllm",),
        "dtype": ("bfloat16", "float16", "float32"),
    },
    "kernel-database": {
        "hardware": (
            *("h100-sxm", "a100-sxm", "h200-sxm", "b200-sxm", "b300-sxm"),
            *("gb200", "gb300", "l40s", "rtx-pro-6000", "b60"),
        ),
        "software": ("trtllm", "vllm", "sglang"),
        "dtype": ("bfloat16", "fp8"),
    },
    "roofline": {
        "hardware": ("h100-sxm", "h200-sxm", "a100-sxm"),
        "software": ("none",),
        "dtype": ("bfloat16", "fp8"),
    },
}
#: Software of GPUs whose kernels were timed with some of a source's alone.
TIMED_SOFTWARE = {"b60": ("vllm",)}
#: Sources that time this machine.
TIMED = ("measured", "llama.cpp", "vllm")
TIMED_ONLY = ("threads", "repeats")


class Workload(Section):
    """A batch of requests: prompts read in one or more forward passes, then decode steps of one token per sequence."""

    batch: int = Field(ge=1, description="sequences decoded together")
    prefill: int = Field(ge=1, description="tokens of each prompt")
    decode: int = Field(ge=0, description="decode steps; step t sees a context of prefill + t tokens, its own included")
    max_num_tokens: int = Field(8192, ge=1, description="maximal number of prompt tokens in one forward pass")

    def throughput(self, runtime_ms: float) -> dict[str, float]:
        """Tokens per second by both definitions: all tokens (the paper's text), output only (its table 2)."""
        seconds = runtime_ms / 1e3
        return {
            "all_tokens_per_s": self.batch * (self.prefill + self.decode) / seconds,
            "output_tokens_per_s": self.batch * self.decode / seconds,
        }


class CostTarget(Section):
    """Hardware, software, data type and workload of one cost table."""

    source: Source = Field(
        description="measured on this machine by torch, in llama.cpp or in vLLM; NVIDIA's kernel timings on GPUs; or "
        "the datasheet's roofline"
    )
    hardware: str
    software: str = Field("", description="serving software; empty for the source's default")
    dtype: Dtype
    workload: Workload
    threads: int | None = Field(None, ge=1, description="CPU threads of a measurement; null for torch's default")
    repeats: int | None = Field(None, ge=2, description="rounds of a measurement; null for 15")
    python: str | None = Field(
        None, description="of vllm: Python of an environment that has vLLM and tessera-vllm; null for this one"
    )

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        valid = VALID[self.source] | {"software": self._softwares()}
        for field in ("hardware", "software", "dtype"):
            value = getattr(self, field)
            if value not in valid[field] and (field, value) != ("software", ""):
                where = f" and hardware {self.hardware}" if field == "software" else ""
                raise ValueError(
                    f"{field} is {value!r}; with source {self.source}{where}, expected one of {', '.join(valid[field])}"
                )
        if self.hardware == "a100-sxm" and self.dtype == "fp8":
            raise ValueError("dtype is 'fp8', but an A100 has no fp8 arithmetic; expected bfloat16")
        for field in TIMED_ONLY:
            if self.source not in TIMED and getattr(self, field) is not None:
                raise ValueError(f"{field} is for sources {', '.join(TIMED)}, not {self.source}")
        if self.source == "llama.cpp" and self.workload.batch > 1:
            raise ValueError(
                f"workload.batch is {self.workload.batch}; with source llama.cpp, which is timed with one request at a "
                f"time, expected 1"
            )
        if self.source != "vllm" and self.python is not None:
            raise ValueError(f"python is for source vllm, not {self.source}")
        if self.hardware == "cuda" and self.threads is not None:
            raise ValueError("threads is for hardware cpu, not cuda")
        return self

    @property
    def software_name(self) -> str:
        """The serving software, by default the source's."""
        return self.software or self._softwares()[0]

    def _softwares(self) -> tuple[str, ...]:
        """Software that the source has for the hardware."""
        every = VALID[self.source]["software"]
        return TIMED_SOFTWARE.get(self.hardware, every) if self.source == "kernel-database" else every


class CostsParams(Section):
    """Cost tables by name; each is a target of the search."""

    targets: dict[str, CostTarget] = Field(min_length=1)

    @field_validator("targets", mode="before")
    @classmethod
    def _without_null(cls, targets: Any) -> Any:
        """Null removes a target of a lower layer."""
        return {n: t for n, t in targets.items() if t is not None} if isinstance(targets, dict) else targets

    @property
    def timed(self) -> dict[str, CostTarget]:
        """The targets that are measured on this machine, by torch, in llama.cpp or in vLLM."""
        return {name: target for name, target in self.targets.items() if target.source in TIMED}

    @property
    def measured(self) -> dict[str, CostTarget]:
        """Those measured by torch, in which every child runs."""
        return {name: target for name, target in self.targets.items() if target.source == "measured"}

    def named(self, name: str | None, key: str) -> str:
        """A target's name; null is the first that is measured on this machine, or the first if none is.

        Raises ValueError, naming the key of params that has it, if there is no such target.
        """
        if name is None:
            return next(iter(self.timed or self.targets))
        if name not in self.targets:
            raise ValueError(f"{key} = {name!r}: no such cost target; expected one of {', '.join(self.targets)}")
        return name

    @model_validator(mode="after")
    def _names_are_file_names(self) -> Self:
        for name in self.targets:
            if not name or not name.replace("-", "").replace("_", "").isalnum():
                raise ValueError(f"targets.{name}: a name must consist of letters, digits, '-' and '_'")
        return self
