"""Where the chain computes, and in which type its matrix products are."""

import fcntl
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import psutil
import torch
import torch.distributed

from tessera.puzzle.params import ComputeParams

#: Rows, and columns, of the matrices whose product is timed.
SIZE = 512
#: Shares of free memory that a process may hold: a GPU is its own, beside a CPU's jobs run others.
SHARES = {"cuda": 0.9, "cpu": 0.5}
#: Files whose locks are this process's claims on GPUs.
_CLAIMED: list[IO[str]] = []


def start(params: ComputeParams) -> torch.device:
    """Return the device of this process's models; from here on its matrix products are of params.dtype.

    Weights, sums, norms, softmax, losses and moments stay in float32. Raises ValueError if there is no such device, or
    if it is slower in bfloat16 than in float32.
    """
    device = torch.device(name(params))
    if device.type == "cuda":
        # torchrun's processes have chosen theirs.
        index = torch.cuda.current_device() if torch.distributed.is_torchelastic_launched() else free_gpus(1)[0]
        torch.cuda.set_device(index)
        device = torch.device("cuda", index)
    if params.dtype == "bfloat16":
        low, full = (rate(device, dtype) for dtype in (torch.bfloat16, torch.float32))
        if low < full:
            raise ValueError(
                f"puzzle.compute.dtype = bfloat16: this {device.type} multiplies at {low:,.1f} GFLOP/s in bfloat16 and "
                f"at {full:,.1f} in float32; expected float32"
            )
        torch.set_autocast_dtype(device.type, torch.bfloat16)
        torch.set_autocast_enabled(device.type, True)
        # Weights that are trained would be kept as they were at first.
        torch.set_autocast_cache_enabled(False)
    return device


def start_all(params: ComputeParams) -> list[torch.device]:
    """As `start`, of a job that holds whole models: its params.gpus devices, over which layers may be spread.

    Raises ValueError if there are fewer GPUs.
    """
    first = start(params)
    if params.gpus == 1:
        return [first]
    if (there := torch.cuda.device_count()) < params.gpus:
        raise ValueError(f"puzzle.compute.gpus = {params.gpus}: torch finds {there}; expected at most {max(1, there)}")
    return [first, *(torch.device("cuda", index) for index in free_gpus(params.gpus - 1, (first.index,)))]


def free_gpus(count: int, taken: Sequence[int] = ()) -> list[int]:
    """Numbers of the first GPUs, of those that this process sees, that no other process has claimed so.

    The claim is a lock on a file, which ends with the process: jobs that run at once have GPUs of their own. If fewer
    are free, the first of the others share their GPU with another process. taken are the process's own already.
    """
    others = [index for index in range(torch.cuda.device_count()) if index not in taken]
    free: list[int] = []
    for index in others:
        if len(free) == count:
            break
        path = Path(tempfile.gettempdir()) / f"tessera-gpu-{torch.cuda.get_device_properties(index).uuid}.lock"
        file = path.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            continue
        _CLAIMED.append(file)
        free.append(index)
    return [*free, *(index for index in others if index not in free)][:count]


def name(params: ComputeParams) -> str:
    """`cpu` or `cuda`; auto is cuda if there is a GPU. Raises ValueError if cuda is asked for and there is none."""
    there = torch.cuda.is_available()
    if params.device == "auto":
        return "cuda" if there else "cpu"
    if params.device == "cuda" and not there:
        raise ValueError("puzzle.compute.device = cuda: torch finds no GPU; expected cpu or auto")
    return params.device


def memory(params: ComputeParams, device: torch.device) -> float:
    """Bytes that this process may hold on the device of its models: params.memory, or a share of what is free."""
    if params.memory is not None:
        return params.memory * 2**30
    return SHARES[device.type] * free(device)[0]


def free(device: torch.device) -> tuple[int, int]:
    """Bytes of a device's memory that are free, and all that it has."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)
    machine = psutil.virtual_memory()
    return machine.available, machine.total


def rate(device: torch.device, dtype: torch.dtype, seconds: float = 0.05) -> float:
    """GFLOP/s of a product of square matrices, the fastest of those that are done in about that many seconds."""
    a, b = (torch.ones(SIZE, SIZE, dtype=dtype, device=device) for _ in range(2))

    def product() -> float:
        begun = time.perf_counter()
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begun

    product()
    best, end = product(), time.perf_counter() + seconds
    while time.perf_counter() < end:
        best = min(best, product())
    return 2 * SIZE**3 / best / 1e9
