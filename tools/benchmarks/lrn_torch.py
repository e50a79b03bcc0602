# Copyright 2026 The alexnet_tf authors. Apache-2.0.
"""Times PyTorch's LocalResponseNorm on a GPU, in GB/s like lrn_bench.

    python tools/benchmarks/lrn_torch.py
    python tools/benchmarks/lrn_torch.py --device=/CPU:0 --batches=1

Bytes are counted as for our kernels, whatever PyTorch really moves: twice the tensor
forward and three times for the gradient. So the figures compare times.
"""

import throughput
import torch


def bandwidths(
    device: str, shape: tuple[int, int, int], dtype: torch.dtype, steps: int
) -> str:
    """GB/s of the forward pass and of the gradient."""
    batch, side, channels = shape
    # PyTorch divides alpha by the size of the window.
    normalize = torch.nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)
    x = torch.randn(batch, channels, side, side, device=device).to(dtype)
    dy = torch.randn_like(x)
    x.requires_grad_(True)
    y = normalize(x)
    gigabytes = x.numel() * x.element_size() / 1e9

    def wait(_):
        if device == "cuda":
            torch.cuda.synchronize()

    def gradient():
        return torch.autograd.grad(y, x, dy, retain_graph=True)

    forward_s = throughput.step_s(lambda: normalize(x), wait, steps)
    gradient_s = throughput.step_s(gradient, wait, steps)
    return (
        f"forward {2 * gigabytes / forward_s:.0f}, "
        f"gradient {3 * gigabytes / gradient_s:.0f} GB/s"
    )


def main() -> None:
    flags = throughput.parser(__doc__.splitlines()[0]).parse_args()
    device = "cuda" if "GPU" in flags.device else "cpu"
    dtypes = [torch.float32]
    if device == "cuda":  # it cannot pool 16-bit types on a CPU
        dtypes += [torch.bfloat16, torch.float16]
    rows = throughput.Rows(flags.seconds)
    for batch in flags.batches:
        for side, channels in ((55, 96), (27, 256)):
            for dtype in dtypes:
                shape = (batch, side, channels)
                name = str(dtype).removeprefix("torch.")
                rows.row(
                    f"PyTorch's LRN, {name}, {batch}x{side}x{side}x{channels}",
                    lambda shape=shape, dtype=dtype: bandwidths(
                        device, shape, dtype, flags.steps
                    ),
                )
    rows.finish()


if __name__ == "__main__":
    main()
