# Copyright 2026 The alexnet_tf authors. Apache-2.0.
"""Times PyTorch's LocalResponseNorm on a GPU, in GB/s like lrn_bench.

    python tools/benchmarks/lrn_torch.py

Bytes are counted as for our kernels, whatever PyTorch really moves: twice the tensor
forward and three times for the gradient. So the figures compare times.
"""

import statistics

import torch

SHAPES = [(1, 55, 96), (1, 27, 256), (128, 55, 96), (128, 27, 256)]


def seconds(call) -> float:
    """The median of ten calls after five calls to warm up."""
    times = []
    for number in range(15):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        end.synchronize()
        if number >= 5:
            times.append(begin.elapsed_time(end) * 1e-3)
    return statistics.median(times)


def bandwidths(shape: tuple[int, int, int], dtype: torch.dtype) -> tuple[float, float]:
    """GB/s of the forward pass and of the gradient."""
    batch, side, channels = shape
    # PyTorch divides alpha by the size of the window.
    normalize = torch.nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)
    x = torch.randn(batch, channels, side, side, device="cuda", dtype=dtype)
    dy = torch.randn_like(x)
    x.requires_grad_(True)
    y = normalize(x)
    gigabytes = x.numel() * x.element_size() / 1e9
    forward_s = seconds(lambda: normalize(x))
    gradient_s = seconds(lambda: torch.autograd.grad(y, x, dy, retain_graph=True))
    return 2 * gigabytes / forward_s, 3 * gigabytes / gradient_s


def main() -> None:
    if not torch.cuda.is_available():
        raise SystemExit("PyTorch sees no GPU: run this on a machine that has one")
    for shape in SHAPES:
        batch, side, channels = shape
        for dtype in (torch.float32, torch.float16, torch.bfloat16):
            forward, gradient = bandwidths(shape, dtype)
            print(
                f"result: PyTorch {str(dtype).removeprefix('torch.'):9} "
                f"{batch:4}x{side}x{side}x{channels:<4} forward {forward:6.0f} "
                f"gradient {gradient:6.0f} GB/s",
                flush=True,
            )


if __name__ == "__main__":
    main()
