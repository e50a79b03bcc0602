"""Trains on a GPU as a user does: the losses against the CPU's, then kill and resume.

    python tools/checks/gpu_run.py --device=/GPU:0 --dataset=data/garments-256 \\
      --folder=/tmp/runs --steps=100

Three runs have the same flags and seed. One trains on the device. One trains on the CPU
at the same time, for the first steps. One trains on the device, is killed after a
checkpoint, and resumes. Operations are deterministic, so the last must have the losses
of the first, bit for bit.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

# A device sums in another order than the CPU, and the differences grow step by step.
FIRST_LOSS, LATER_LOSSES = 1e-3, 0.1


def command(flags, name: str, device: str, steps: int) -> list[str]:
    """The training command of one run."""
    return [
        *(sys.executable, "-m", "alexnet_tf.train"),
        *(f"--dataset={flags.dataset}", f"--run_dir={flags.folder / name}"),
        *(f"--architecture={flags.net}", f"--batch_size={flags.batch}"),
        *(f"--tower_devices={device}", f"--max_steps={steps}"),
        *("--precision=float32", "--validation=never", "--log_steps=1"),
        f"--checkpoint_steps={max(1, flags.steps // 4)}",
    ]


def losses(run_dir: pathlib.Path) -> list[float]:
    """The loss of every step that the run has logged; the last of several counts."""
    by_step = {}
    log = run_dir / "log.jsonl"
    for line in log.read_text().splitlines() if log.exists() else []:
        if line.endswith("}"):  # the last line may be half written
            record = json.loads(line)
            if record["kind"] == "train":
                by_step[record["step"]] = record["loss"]
    return [by_step[step] for step in sorted(by_step)]


def train(flags, name: str, *extra: str) -> None:
    subprocess.run(
        [*command(flags, name, flags.device, flags.steps), *extra], check=True
    )


def kill_after(flags, name: str, steps: int) -> None:
    """Begins a run and kills it when it has logged this step."""
    run_dir = flags.folder / name
    with subprocess.Popen(command(flags, name, flags.device, flags.steps)) as process:
        while len(losses(run_dir)) < steps:
            if process.poll() is not None:
                raise SystemExit("the run that was to be killed ended by itself")
            time.sleep(0.02)
        process.kill()


def compare(ours: list[float], cpu: list[float]) -> None:
    """Prints how far the losses are from those of the CPU, for its steps.

    Raises SystemExit if the losses cannot come from the same run.
    """
    differences = [abs(a - b) / abs(b) for a, b in zip(ours, cpu, strict=False)]
    print(
        f"result: loss of the first step {ours[0]:.6f}, on the CPU {cpu[0]:.6f}; "
        f"largest difference in {len(cpu)} steps {100 * max(differences):.3g} %"
    )
    # NaN is not close to anything.
    close = [difference <= LATER_LOSSES for difference in differences]
    if not all(close) or differences[0] > FIRST_LOSS:
        raise SystemExit(
            f"the losses differ from the CPU's by more than {FIRST_LOSS} in the first "
            f"step or {LATER_LOSSES} later: {ours[: len(cpu)]}, on the CPU {cpu}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="/GPU:0")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--net", default="cuda_convnet")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--cpu_steps", type=int, default=20)
    flags = parser.parse_args()

    on_cpu = subprocess.Popen(
        command(flags, "cpu", "/CPU:0", flags.cpu_steps),
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
    )
    try:
        train(flags, "whole")
        whole = losses(flags.folder / "whole")
        if len(whole) != flags.steps:
            raise SystemExit(f"{len(whole)} losses were logged, not {flags.steps}")
        print(
            f"result: loss {whole[0]:.3f} to {whole[-1]:.3f} in {flags.steps} steps",
            flush=True,
        )
        kill_after(flags, "resumed", flags.steps // 2)
        killed = losses(flags.folder / "resumed")
        train(flags, "resumed", "--resume")
        resumed = losses(flags.folder / "resumed")
        if resumed != whole or killed != whole[: len(killed)]:
            raise SystemExit(f"after a kill, other losses: {resumed}, whole: {whole}")
        print(
            f"result: killed after step {len(killed)} and resumed: the same losses",
            flush=True,
        )
        if on_cpu.wait():
            raise SystemExit("the run on the CPU failed")
        compare(whole, losses(flags.folder / "cpu"))
    finally:
        on_cpu.kill()
        on_cpu.wait()


if __name__ == "__main__":
    main()
