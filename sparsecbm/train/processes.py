"""Several processes that train one model together, as `accelerate launch` and `torchrun` start them.

Every process has the whole model and all texts. Work is shared in whole batches: those of an update, of a validation,
and of the gradients for a saliency. Gradients and results are then added up, so all processes go on with equal weights.
A batch gives the same bytes in whichever process it runs; only the order in which gradients are added up differs.
The first process alone writes files. With one process, nothing here does anything.
"""

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sparsecbm.base.errors import ConfigError, ModelError

RESUMES = "start it again with the same command, and it goes on from its last checkpoint"
Item = TypeVar("Item")
Result = TypeVar("Result")


def count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if count() > 1 else 0


def writes() -> bool:
    """Whether this process writes files and shows progress: the first one does."""
    return rank() == 0


def join_processes(device: torch.device, precision: str) -> None:
    """Meet the other processes of the launcher, if there are some.

    Args:
        device, precision: with which this process will train

    Raises:
        ModelError: a process is gone, or they differ in device or precision.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return
    signal.signal(signal.SIGTERM, _end)
    if not dist.is_initialized():
        # Results of batches are added up on the CPU, gradients where they are.
        _together(lambda: dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"))
    kinds: list[str] = [""] * count()
    _together(lambda: dist.all_gather_object(kinds, f"{_describe(device)} in {precision}"))
    if len(set(kinds)) > 1:
        listed = "; ".join(f"process {number}: {kind}" for number, kind in enumerate(kinds))
        raise ModelError(
            f"the processes of this training have different devices, so a result would depend on which one computes it "
            f"({listed}); start it on equal devices, or set finetune.device=cpu or finetune.precision=float32"
        )


def check_shares(batches: int, size: int) -> None:
    """Insist that the batches of an update can be shared.

    Args:
        batches: of an update
        size: texts of a batch

    Raises:
        ConfigError: they cannot.
    """
    processes = count()
    if batches % processes:
        raise ConfigError(
            f"finetune.accumulate: {processes} processes share the batches of an update, and {batches} cannot be "
            f"shared; set it to a multiple of {processes}, such as finetune.accumulate={processes} with "
            f"finetune.batch_size={max(1, size * batches // processes)}, so that an update keeps its texts"
        )


def share(items: Sequence[Item]) -> Sequence[Item]:
    """The items that this process works on."""
    return items[rank() :: count()]


def add_up(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its sum over all processes.

    Raises:
        ModelError: a process is gone.
    """
    if count() > 1:
        for tensor in tensors:
            _together(lambda tensor=tensor: dist.all_reduce(tensor))  # type: ignore[misc]


def add_up_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Give each parameter the sum of its gradients in all processes; where no process has one, there is none.

    Raises:
        ModelError: a process is gone.
    """
    if count() == 1:
        return
    listed = list(parameters)
    present = torch.tensor([parameter.grad is not None for parameter in listed], dtype=torch.uint8)
    _together(lambda: dist.all_reduce(present, dist.ReduceOp.MAX))
    with torch.no_grad():
        gradients = []
        for parameter, exists in zip(listed, present.tolist(), strict=True):
            if exists:
                gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.contiguous()
                parameter.grad = gradient
                gradients.append(gradient)
    works = [_together(lambda gradient=gradient: dist.all_reduce(gradient, async_op=True)) for gradient in gradients]
    for work in works:
        _together(work.wait)


def wait_for_all() -> None:
    """Go on when all processes have come here.

    Raises:
        ModelError: a process is gone.
    """
    if count() > 1:
        _together(dist.barrier)


@contextmanager
def first_process_first() -> Iterator[None]:
    """Let the first process run the block, and then the others."""
    if not writes():
        wait_for_all()
    yield
    if writes():
        wait_for_all()


def _end(*_: object) -> None:
    raise ModelError(
        "this process of the training was asked to end, as a launcher does when another process of the training has "
        f"ended; {RESUMES}"
    )


def _describe(device: torch.device) -> str:
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"{device.type} ({torch.backends.cpu.get_cpu_capability()})"


def _together(call: Callable[[], Result]) -> Result:
    try:
        return call()
    except RuntimeError as error:  # of gloo and NCCL, and of the store in which processes meet
        raise ModelError(
            f"another process of this training has ended or cannot be reached, so this one ends, too; {RESUMES}. If "
            "nobody ended that process, look for its own message above "
            f"({str(error).strip().partition(chr(10))[0][:200]})"
        ) from error
