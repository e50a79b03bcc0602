"""Times training of the paper's net in PyTorch on one device.

    python tools/benchmarks/device_training_torch.py --device=/GPU:0

prints the rows of device_training.py for the peer that a user would pick: one net with
grouped convolutions and LRN, channels last, and autocast for bfloat16.
"""

import throughput
import torch
import training_torch


def images_per_s(device: str, precision: str, batch: int, steps: int) -> str:
    tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    step = training_torch.training_step(
        training_torch.paper(), precision, batch, device
    )
    seconds = throughput.step_s(step, lambda loss: loss.item(), steps)
    peak = ""
    if device == "cuda":
        peak = f", peak {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB"
        torch.cuda.reset_peak_memory_stats()
    return f"{batch / seconds:.0f} images/s{peak}"


def main() -> None:
    flags = throughput.parser(__doc__.splitlines()[0]).parse_args()
    device = "cuda" if "GPU" in flags.device else "cpu"
    torch.backends.cudnn.benchmark = True
    rows = throughput.Rows(flags.seconds)
    for precision in flags.precisions:
        for batch in flags.batches:
            rows.row(
                f"PyTorch, {precision}, batch {batch}",
                lambda precision=precision, batch=batch: images_per_s(
                    device, precision, batch, flags.steps
                ),
            )
    rows.finish()


if __name__ == "__main__":
    main()
