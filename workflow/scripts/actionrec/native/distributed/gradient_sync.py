"""The mean of the gradients of several processes, computed while backward goes on.

PyTorch's DistributedDataParallel does the same, but copies every gradient into a bucket first,
times its first ten batches, which no CUDA graph can hold, and sums each bucket as soon as it is
full. Over NVLink that is too soon: cuDNN's batch normalisation wants all of a GPU at once and waits
for each sum, while backward ends with the longest of its kernels, the weight gradient of the first
layer, beside which there is time for all others' sums. Of a step of 6.6 ms in fp16 on two H100s
sums in groups cost 0.75 ms, together 0.35.
"""

import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch import distributed as dist

from actionrec.native.distributed import collectives, launch

GROUP = 25 * 2**20  # bytes of gradients that are summed at a time over slow links
SWIFT = 80e9  # bytes a second that are summed over NVLink at least, and over PCIe never
PROBE = 2**26  # bytes


class Averaging:
    """Sums the gradients of `network` over all processes, which begin with the same weights.

    Each sums those of a loss divided by their number (`divide`), and waits for the sums (`wait`)
    when its backward is through. Batch normalisation sees the batch of its own process, as in
    TAO; training does not read the statistics that it gathers, so they stay apart.
    """

    def __init__(self, network: nn.Module) -> None:
        self._due: list[dist.Work] = []
        if launch.size() == 1:
            return
        collectives.take_first(network.state_dict().values())
        parameters = list(network.parameters())
        for group in groups(parameters, swift=_speed(parameters[0].device) >= SWIFT):
            self._watch(group)

    def divide(self, loss: Tensor) -> Tensor:
        """Return this process's part of the mean loss of all."""
        return loss / launch.size() if launch.size() > 1 else loss

    def wait(self) -> None:
        """Let what follows have the sums."""
        for work in self._due:
            work.wait()
        self._due.clear()

    def _watch(self, group: list[nn.Parameter]) -> None:
        left = len(group)

        def note(_: Tensor) -> None:
            nonlocal left
            left -= 1
            if not left:
                left = len(group)
                self._due.append(_sum([parameter.grad for parameter in group]))

        for parameter in group:
            parameter.register_post_accumulate_grad_hook(note)


def groups(
    parameters: Sequence[nn.Parameter], *, swift: bool, most: int = GROUP
) -> list[list[nn.Parameter]]:
    """Divide parameters by whose gradients are summed at once, in the order of backward.

    Over `swift` links all go at once when only the first layer's is to come, and then that one;
    over others each group of up to `most` bytes, or of one parameter, when it is there.
    """
    if swift:
        first, *others = parameters
        return [others[::-1], [first]] if others else [[first]]
    found: list[list[nn.Parameter]] = []
    room = 0
    for parameter in reversed(parameters):
        if not found or parameter.nbytes > room:
            found.append([])
            room = most
        found[-1].append(parameter)
        room -= parameter.nbytes
    return found


def _speed(device: torch.device) -> float:
    """Return how many bytes a second the processes sum, as the slowest of them sees it."""
    if device.type == "cpu":
        return 0.0
    probe, spent = torch.zeros(PROBE // 4, device=device), []
    for _ in range(4):  # of which the first sets up the links
        torch.cuda.synchronize(device)
        start = time.perf_counter()
        dist.all_reduce(probe)
        torch.cuda.synchronize(device)
        spent.append(time.perf_counter() - start)
    least = torch.tensor(min(spent), dtype=torch.float64, device=device)
    dist.all_reduce(least, dist.ReduceOp.MAX)
    return PROBE / least.item()


def _sum(gradients: list[Tensor | None]) -> dist.Work:
    """Begin to sum gradients in their places, all at once."""
    return dist.group.WORLD.allreduce_coalesced(gradients, dist.AllreduceCoalescedOptions())
