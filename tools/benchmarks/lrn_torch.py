# Copyright 2026 The alexnet_tf authors. Apache-2.0.
"""PyTorch's LocalResponseNorm on a GPU: GB/s, as lrn_bench prints ours.

    python tools/benchmarks/lrn_torch.py

Bytes are counted as for our kernels, 2 times the tensor forward and 3 times for the
gradient, whatever PyTorch moves in truth; so the figures compare times.
"""

import statistics

import torch

SHAPES = [(1, 55, 96), (1, 27, 256), (128, 55, 96), (128, 27, 256)]


def seconds(call) -> float:
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


def main() -> None:
    if not torch.cuda.is_available():
        raise SystemExit("PyTorch sees no GPU: run this where there is one")
    # PyTorch divides alpha by the size of the window.
    normalize = torch.nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)
    for batch, side, channels in SHAPES:
        for dtype in (torch.float32, torch.float16, torch.bfloat16):
            x = torch.randn(batch, channels, side, side, device="cuda", dtype=dtype)
            dy = torch.randn_like(x)
            x.requires_grad_(True)
            y = normalize(x)
            size = x.numel() * x.element_size()
            forward = 2 * size / seconds(lambda x=x: normalize(x))
            gradient = (
                3
                * size
                / seconds(
                    lambda x=x, y=y, dy=dy: torch.autograd.grad(
                        y, x, dy, retain_graph=True
                    )
                )
            )
            print(
                f"result: PyTorch {str(dtype).removeprefix('torch.'):9} "
                f"{batch:4}x{side}x{side}x{channels:<4} forward {forward / 1e9:6.0f} "
                f"gradient {gradient / 1e9:6.0f} GB/s",
                flush=True,
            )


if __name__ == "__main__":
    main()
