"""A pretend accelerator, `gpu`, on a torch that knows only the CPU, to find tensors that are on the wrong device.

Its tensors compute on the CPU and say that they are on gpu:0. An operator that is given one of them beside a CPU tensor
of one or more dimensions raises what CUDA would raise. Values are the CPU's, so whole functions can be compared with
their results there, and autograd works.
"""

from contextlib import contextmanager

import torch
import torch.utils.backend_registration as registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

NAME = "gpu"
#: Operators that CUDA lets mix devices.
MIXED = {
    "_to_copy", "copy_", "index", "index_put", "index_put_", "_index_put_impl_", "set_", "lift_fresh", "detach",
    "_foreach_copy_",
}  # fmt: skip
_LIBRARIES = []


class _Backend(registration._DummyBackendModule):
    def get_amp_supported_dtype(self):
        return [torch.bfloat16, torch.float16]

    def is_autocast_enabled(self):
        return torch.is_autocast_enabled(NAME)


class Gpu(torch.Tensor):
    """A tensor of the pretend accelerator around a CPU tensor, `inner`."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=torch.device(NAME, 0),
        )

    def __init__(self, inner):
        self.inner = inner

    def __repr__(self):
        return f"Gpu({self.inner!r})"

    def numpy(self, *args, **kwargs):
        raise TypeError("can't convert gpu:0 device type tensor to numpy. Use Tensor.cpu() first")

    def __array__(self, *args, **kwargs):
        return self.numpy()

    def tolist(self):
        return self.detach().cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


class _Mode(TorchDispatchMode):
    """Catches factories that ask for the device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = any(isinstance(leaf, Gpu) for leaf in tree_leaves((args, kwargs)))
        return _run(func, args, kwargs) if given or _is_gpu(kwargs.get("device")) else func(*args, **kwargs)


@contextmanager
def pretend_gpu():
    """Within this, `gpu` is a device, whose name is yielded."""
    if not _LIBRARIES:
        library = torch.library.Library("aten", "IMPL", "PrivateUse1")
        for op in (torch.ops.aten.empty.memory_format, torch.ops.aten.empty_strided.default):
            library.impl(op, lambda *args, op=op, **kwargs: _run(op, args, kwargs))
        library.impl("_copy_from", _copy_from)
        _LIBRARIES.append(library)
        registration._setup_privateuseone_for_python_backend(NAME, backend_module=_Backend())
    with _Mode():
        yield NAME


def _copy_from(source, target, *_):
    _inner(target).copy_(_inner(source))
    return target


def _inner(value):
    return value.inner if isinstance(value, Gpu) else value


def _is_gpu(device):
    return device is not None and torch.device(device).type == NAME


def _run(func, args, kwargs):
    name = func._schema.name.split("::")[1]
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    gpus = [tensor for tensor in tensors if isinstance(tensor, Gpu)]
    on_cpu = [tensor for tensor in tensors if not isinstance(tensor, Gpu)]
    if name == "_has_compatible_shallow_copy_type" and gpus and on_cpu:
        return False
    if gpus and name not in MIXED and any(tensor.dim() for tensor in on_cpu):
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, gpu:0 and cpu! ({name})"
        )
    if name in ("index", "index_put_", "_index_put_impl_") and gpus and not isinstance(args[0], Gpu):
        raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
    generator = kwargs.get("generator")
    device = kwargs.get("device")
    result_on_gpu = _is_gpu(device) if device is not None else bool(gpus)
    if name == "copy_":
        result_on_gpu = isinstance(args[0], Gpu)
    if generator is not None and result_on_gpu and generator.device.type == "cpu":
        raise RuntimeError(f"Expected a 'gpu' device type for generator but found 'cpu' ({name})")
    if _is_gpu(device):
        kwargs = kwargs | {"device": torch.device("cpu")}
    kwargs = {key: False if key == "pin_memory" else value for key, value in kwargs.items()}
    results = func(*tree_map(_inner, args), **tree_map(_inner, kwargs))
    # In-place operators hand back the very tensors that they were given.
    given = {id(_inner(tensor)): tensor for tensor in tensors} if func._schema.is_mutable else {}

    def wrapped(value):
        if id(value) in given:
            return given[id(value)]
        return Gpu(value) if isinstance(value, torch.Tensor) and result_on_gpu else value

    return tree_map(wrapped, results)
