"""Where healing computes: on the CPU, on a GPU, or in several processes under torchrun.

Several processes share the windows of a step equally. By torch's fully sharded data parallelism (FSDP2) each holds a
part of every weight, gradient and moment; a layer is whole only while it is computed, and gradients are means over
processes.
"""

import copy
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)


def replica(model: Model) -> Model:
    """A copy of modules whose parameters, which need no gradient, share the storage of model's until they are moved."""
    copies = {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in model.parameters()}
    return copy.deepcopy(model, copies)


def whole(tensor: Tensor) -> Tensor:
    """A tensor of which each process holds a part, or which is whole already. All processes must call it."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def part(tensor: Tensor, like: Tensor) -> Tensor:
    """This process's part of a whole tensor that is the same in all, split and placed as `like` is."""
    if not hasattr(like, "full_tensor") or tensor.shape != like.shape:  # Adam's step is a number that all have
        return tensor.to(like.device)
    from torch.distributed.tensor import distribute_tensor

    # Each process splits what it has: nothing is sent.
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


@dataclass(frozen=True)
class Group:
    """The processes that heal one child, of which this is number rank, from 0; one by itself by default."""

    rank: int = 0
    size: int = 1

    def share(self, windows: Tensor) -> Tensor:
        """This process's windows of a step's (batch_windows,). Raises ValueError if shares would not be equal."""
        if len(windows) % self.size:
            raise ValueError(
                f"batch_windows = {len(windows)} cannot be shared equally by {self.size} processes: "
                f"expected a multiple of {self.size}"
            )
        return windows.chunk(self.size)[self.rank]

    def place(self, model: nn.Module, layers: Iterable[nn.Module], where: torch.device) -> None:
        """Move model to a device, or split it over the group, layer by layer and then what is in none."""
        if self.size == 1:
            model.to(where)
            return
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(where.type, (self.size,))
        for module in (*layers, model):
            fully_shard(module, mesh=mesh)

    def mean(self, values: Tensor) -> Tensor:
        """Mean of values over processes."""
        if self.size > 1:
            dist.all_reduce(values)
            values /= self.size
        return values

    def all(self, flag: bool, where: torch.device) -> bool:
        """Whether flag is true in all processes."""
        if self.size == 1:
            return flag
        flags = torch.tensor(int(flag), device=where)
        dist.all_reduce(flags, dist.ReduceOp.MIN)
        return bool(flags)

    def gather(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The whole tensors, on the CPU, in process 0; nothing in the others."""
        gathered = {}
        for name, tensor in tensors.items():
            full = whole(tensor.detach())
            if self.rank == 0:
                gathered[name] = full.cpu()
        return gathered


@contextmanager
def launched(processes: int, where: str) -> Iterator[Group]:
    """The group of the processes that torchrun started, connected; a group of one without torchrun.

    where is the type of their device. Raises ValueError if another number was started than `processes`, or if there are
    fewer GPUs than processes on this machine.
    """
    started = int(os.environ["WORLD_SIZE"]) if dist.is_torchelastic_launched() else 1
    if started != processes:
        raise ValueError(
            f"heal.processes = {processes}, but {started} started; set it to {started}, or start it by "
            f"torchrun --nproc-per-node {processes}"
        )
    if started == 1:
        yield Group()
        return
    if where == "cuda":
        local = int(os.environ["LOCAL_RANK"])
        if local >= torch.cuda.device_count():
            raise ValueError(
                f"heal.processes = {processes} with compute.device = cuda: each needs its own GPU, and there are "
                f"{torch.cuda.device_count()}"
            )
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if where == "cuda" else "gloo")
    try:
        yield Group(dist.get_rank(), started)
    finally:
        dist.destroy_process_group()
