"""A 3D convolution that is faster where feature maps are short or small."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# Up to so many output positions (batch * T * H * W) the weight gradient is faster as one matrix
# product: for 512 x 512 channels at 64 positions oneDNN takes 81 ms, the product 14 ms (two Zen 3
# cores). oneDNN is faster from about 800 positions on.
MATMUL_MAX_POSITIONS = 256


class Conv3d(nn.Conv3d):
    """`nn.Conv3d` without bias, groups or dilation; same parameters and results."""

    padding: tuple[int, ...]

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (N, C, T, H, W)."""
        weight, padding = self.weight, self.padding
        if not torch.jit.is_tracing() and input.shape[2] == 1 and self.kernel_size[0] == 3:
            # Of a single frame only the middle slice of the kernel sees more than padding, so two
            # thirds of the work are left out. With three frames a clip, TAO's default, this holds
            # for every block. A traced network (ONNX) must keep the whole kernel.
            if input.device.type != "cpu":  # a GPU's 2D kernels are faster than its 3D ones
                return _convolve_images(input, weight[:, :, 1], self.stride, padding)
            weight, padding = weight[:, :, 1:2], (0, *padding[1:])
        if input.device.type == "cpu" and torch.is_grad_enabled():
            if torch.is_autocast_enabled("cpu"):  # autocast does not see custom functions
                half = torch.get_autocast_dtype("cpu")
                input, weight = input.to(half), weight.to(half)
            return _Conv3dOnCpu.apply(input, weight, self.stride, padding)
        return F.conv3d(input, weight, None, self.stride, padding)


def _convolve_images(
    x: Tensor, weight: Tensor, stride: tuple[int, ...], padding: tuple[int, ...]
) -> Tensor:
    """Convolve clips of one frame (N, C, 1, H, W) with kernels (O, C, h, w)."""
    return F.conv2d(x.squeeze(2), weight, None, stride[1:], padding[1:]).unsqueeze(2)


class _Conv3dOnCpu(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, stride: tuple[int, ...], padding: tuple[int, ...]
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv3d(x, weight, None, stride, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_x = _backward(ctx, grad, x, weight, [True, False, False])[0]
        if ctx.needs_input_grad[1]:
            # In float32, because oneDNN's bfloat16 weight gradient sometimes holds uninitialised
            # memory (PyTorch 2.13, AVX-512).
            x, grad, weight = x.float(), grad.float(), weight.float()
            if grad.numel() // grad.shape[1] <= MATMUL_MAX_POSITIONS:
                grad_weight = weight_gradient(x, grad, weight.shape[2:], ctx.stride, ctx.padding)
            else:
                grad_weight = _backward(ctx, grad, x, weight, [False, True, False])[1]
        return grad_x, grad_weight, None, None


def _backward(
    ctx: Any, grad: Tensor, x: Tensor, weight: Tensor, output_mask: list[bool]
) -> tuple[Tensor | None, ...]:
    """Return PyTorch's gradients of input, weight and bias, as `output_mask` asks for them."""
    stride, padding, dilation, output_padding = ctx.stride, ctx.padding, [1, 1, 1], [0, 0, 0]
    return torch.ops.aten.convolution_backward(
        grad, x, weight, None, stride, padding, dilation, False, output_padding, 1, output_mask
    )


def weight_gradient(
    x: Tensor,
    grad: Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
) -> Tensor:
    """Return the weight gradient of a 3D convolution as one matrix product.

    `x` (N, C, T, H, W) is the input, `grad` (N, O, t, h, w) the gradient of the output; the
    result is (O, C, *kernel).
    """
    # As in im2col: a row for each output position, the input that the kernel sees there.
    windows = F.pad(x, [side for p in reversed(padding) for side in (p, p)])
    for axis, (size, step) in enumerate(zip(kernel, stride, strict=True), start=2):
        windows = windows.unfold(axis, size, step)
    rows = windows.permute(0, 2, 3, 4, 1, 5, 6, 7).flatten(4).flatten(0, 3)
    return (grad.transpose(0, 1).flatten(1) @ rows).view(grad.shape[1], x.shape[1], *kernel)
