"""The hardware and software that a command runs on, for the report and the provenance."""

import hashlib
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

#: Packages whose versions affect the results.
PACKAGES = (
    "snakemake",
    "dvc",
    "mlflow",
    "numpy",
    "scipy",
    "numba",
    "torch",
    "transformers",
    "highspy",
    "piqp",
    "brian2",
    "pandas",
    "scikit-learn",
)


def describe(lock: str | Path = "requirements.lock") -> dict[str, Any]:
    """Processor, cores, memory (GiB), system, package versions, and the hash of the lock file if there is one."""
    lock = Path(lock)
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "lock_sha256": hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else None,
    }


def _processor() -> str:
    """The processor name reported by the kernel, or its architecture if none is reported."""
    info = Path("/proc/cpuinfo")
    for line in info.read_text(encoding="utf-8").splitlines() if info.is_file() else ():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return " ".join(value.split())
    return platform.machine()
