# Copyright 2026 The alexnet_tf authors. Apache-2.0.
"""Times the way from records to the model, piece by piece, beside other loaders.

    python tools/benchmarks/input.py --peers_dir=../peers --json=input.json

Everything that is no training step runs on one core (sched_setaffinity, one thread), in
turn; the figures are medians. The pictures are noise with the spectrum and the colours of
photographs, as large as those as JPEGs of 256x256 at quality 95. Peers read the same
JPEGs, each in an environment of its own under --peers_dir (docs/input.md says how they
are made); one that is missing is named and left out. The last line names the
bottleneck. Exits with 1 where a limit is missed.
"""

import gc
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np
import tensorflow as tf
from absl import app, flags

from alexnet_tf.data import (
    image_statistics,
    input_pipeline,
    prepared_dataset,
    record_files,
    records,
)
from alexnet_tf.models import builder, devices, layers, zoo
from alexnet_tf.training import optimizer, schedule, training_step

_JSON = flags.DEFINE_string("json", None, "Where to write the results.")
_PEERS = flags.DEFINE_string("peers_dir", None, "Folder of the peers' environments.")
_PICTURES = flags.DEFINE_integer("pictures", 1024, "Pictures.", lower_bound=256)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Rounds, in turn.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 4, "Training steps a round.", lower_bound=1)
_SKIP_MODEL = flags.DEFINE_bool("skip_model", False, "Leave the model out.")
_CORE = flags.DEFINE_integer("core", 0, "The core of what runs on one.", lower_bound=0)

SIZE, CROP, BATCH = 256, 224, 128
PEERS = {  # name: the environment's folder
    "torch DataLoader": "torch",
    "webdataset": "torch",
    "dali": "dali",
    "grain": "grain",
}
# Pictures a second and core; part of the synthetic speed; part of a step.
LIMITS = {"jpeg": 2000, "raw": 10_000, "real / synthetic": 0.95, "preprocessing": 0.05}

# The released program's statistics of ILSVRC: colour axes and deviations along them.
_AXES = np.array(
    [
        [-0.5635, -0.5762, -0.5920],
        [-0.7126, -0.0235, 0.7012],
        [0.4180, -0.8170, 0.3973],
    ]
)
_STDEVS = np.array([121.780, 37.094, 19.721])


def photograph(rng):
    """Noise uint8 [SIZE, SIZE, 3] whose amplitude falls with frequency, as pictures' do.

    The falls, to the power of 1.3 to 1.75, are such that the JPEGs are as large as those
    of eight photographs (scikit-image's, scikit-learn's), 27 kB on average: about 26.
    """
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None, :])
    frequency[0, 0] = 1 / SIZE
    amplitude = frequency ** -rng.uniform(1.3, 1.75)
    noise = rng.normal(size=(2, 3, *frequency.shape))
    planes = np.fft.irfft2((noise[0] + 1j * noise[1]) * amplitude, s=(SIZE, SIZE))
    planes -= planes.mean((1, 2), keepdims=True)
    planes *= _STDEVS[:, None, None] / planes.std((1, 2), keepdims=True)
    pixels = np.einsum("ahw,ac->hwc", planes, _AXES) * rng.uniform(0.3, 0.7)
    return (pixels + rng.uniform(80, 160)).clip(0, 255).round().astype(np.uint8)


def write(folder, encoding, pictures):
    """The pictures as a prepared folder of four shards."""
    folder.mkdir()
    accumulator = image_statistics.StatisticsAccumulator(SIZE)
    for picture in pictures[:64]:
        accumulator.add(picture)
    for shard in range(4):
        named = (
            (
                f"{n}.JPEG",
                record_files.Record(records.encode(pictures[n], encoding), n % 1000),
            )
            for n in range(shard, len(pictures), 4)
        )
        path = folder / prepared_dataset.shard_name("train", shard, 4, encoding)
        record_files.write_shard(path, named, encoding=encoding, size=SIZE)
    classes = tuple(f"class {n}" for n in range(1000))
    dataset = prepared_dataset.Dataset(
        "photographs", SIZE, encoding, classes, {"train": len(pictures)}, folder
    )
    prepared_dataset.write_description(dataset, accumulator.result())
    return dataset


def batches(dataset, one_core):
    recipe = input_pipeline.Recipe(BATCH, CROP, 0, "cuda_convnet", 0.0, 1)
    found = input_pipeline.training_batches(
        dataset, recipe, first_step=0, last_step=10**9
    )
    if not one_core:
        return found
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    return found.with_options(options)


def read_all(dataset):
    """Seconds a picture to read the records in shuffled order."""
    source = records.open_records(dataset, "train")
    order = np.random.default_rng(0).permutation(len(source)).tolist()
    start = time.perf_counter()
    for index in order:
        source[index]
    return (time.perf_counter() - start) / len(order)


def decode_all(encoded):
    """Seconds a picture to decode whole JPEGs that are in memory."""
    whole = np.empty((SIZE, SIZE, 3), np.uint8)
    start = time.perf_counter()
    for picture in encoded:
        records.decode(picture, SIZE, "jpeg", into=whole)
    return (time.perf_counter() - start) / len(encoded)


def full_path(dataset):
    """Seconds a picture from the records to a batch of crops."""
    iterator = iter(batches(dataset, one_core=True))
    for _ in range(3):  # what was prefetched, and thread pools
        next(iterator)
    count = max(2, _PICTURES.value // BATCH)
    start = time.perf_counter()
    for _ in range(count):
        next(iterator)
    taken = (time.perf_counter() - start) / (count * BATCH)
    del iterator
    gc.collect()  # ends its threads
    return taken


def peer(name, jpegs):
    """Seconds a picture of a peer's loader: it prints them as its last line."""
    environment = pathlib.Path(_PEERS.value or "", PEERS[name])
    worker = pathlib.Path(__file__).with_name("input_peer.py")
    done = subprocess.run(
        [environment / "bin/python", worker, name, jpegs, str(CROP), str(BATCH)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"peer {name} failed: {done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])


def on_one_core(jpeg, raw, jpegs):
    """Medians in seconds a picture by name."""
    source = records.open_records(jpeg, "train")
    encoded = [source[index].encoded for index in range(256)]
    contenders = {
        "read jpeg": lambda: read_all(jpeg),
        "read raw": lambda: read_all(raw),
        "decode": lambda: decode_all(encoded),
        "jpeg": lambda: full_path(jpeg),
        "raw": lambda: full_path(raw),
    }
    for name, folder in PEERS.items():
        if _PEERS.value and pathlib.Path(_PEERS.value, folder, "bin/python").exists():
            contenders[name] = lambda name=name: peer(name, jpegs)
        else:
            print(f"{name}: left out, no {folder}/bin/python in --peers_dir")
    times = {name: [] for name in contenders}
    for _ in range(_ROUNDS.value):
        for name, seconds in contenders.items():
            times[name].append(seconds())
    return {name: statistics.median(found) for name, found in times.items()}


def with_the_model(jpeg):
    """Medians in seconds a step: on one batch again and again, and on the records."""
    precision = devices.precision("auto")
    net = zoo.find("cuda_convnet")
    net = builder.build(
        net,
        mean=jpeg.statistics().mean_crop(CROP),
        devices=devices.resolve(("auto",), net.towers),
        precision=precision,
        initialization="cuda_convnet",
    )
    variables = net.trainable_variables
    rule = optimizer.MomentumSGD(
        variables,
        optimizer.decays_of(zoo.find("cuda_convnet"), variables, None),
        copied=layers.copied_kernels(net),
    )
    real = batches(jpeg, one_core=False)
    step = training_step.Step(net, rule).trace(real)
    rates = schedule.Rates(*[tf.constant(1e-4)] * 3)
    (same,) = real.take(1)
    preprocessing = layers.Preprocessing(
        jpeg.statistics().mean_crop(CROP),
        dtype="bfloat16" if precision == "bfloat16" else "float32",
    )

    def timed(source):
        start = time.perf_counter()
        for _ in range(_STEPS.value):
            step(*next(source), rates).numpy()
        return (time.perf_counter() - start) / _STEPS.value

    def synthetic():
        while True:
            yield same

    def prepare_once():
        start = time.perf_counter()
        for _ in range(5):
            preprocessing(**same[0]).numpy()
        return (time.perf_counter() - start) / 5

    real = iter(real)
    sources = {"synthetic": synthetic(), "real": real}
    times = {"synthetic": [], "real": [], "preprocessing": []}
    for source in sources.values():
        step(*next(source), rates)
    for turn in range(_ROUNDS.value):
        # The other order every other time: the one that goes second finds batches ready.
        for name in sorted(sources, reverse=bool(turn % 2)):
            times[name].append(timed(sources[name]))
        times["preprocessing"].append(prepare_once())
    return {name: statistics.median(found) for name, found in times.items()}, precision


def judge(rates, steps):
    """Every limit as {"name", "value", "limit", "met"}."""
    judged = []

    def add(name, value, asked, met):
        judged.append({"name": name, "value": value, "limit": asked, "met": bool(met)})

    for kind in ("jpeg", "raw"):
        least = LIMITS[kind]
        add(
            f"{kind}, images/s a core", rates[kind], f">= {least}", rates[kind] >= least
        )
    for name in sorted(PEERS.keys() & rates.keys()):
        add(
            f"jpeg / {name}",
            rates["jpeg"] / rates[name],
            "> 1",
            rates["jpeg"] > rates[name],
        )
    if steps:
        part = steps["synthetic"] / steps["real"]
        least = LIMITS["real / synthetic"]
        add("real / synthetic speed", part, f">= {least}", part >= least)
        part = steps["preprocessing"] / steps["synthetic"]
        most = LIMITS["preprocessing"]
        add("preprocessing / step", part, f"<= {most}", part <= most)
    return judged


def bottleneck(rates, steps):
    if not steps:
        slowest = min(("read jpeg", "decode"), key=rates.get)
        return f"bottleneck of the input: {slowest.split()[0]}"
    cores = len(os.sched_getaffinity(0))
    wanted = BATCH / steps["synthetic"]
    if rates["jpeg"] * cores < wanted:
        slowest = min(("read jpeg", "decode"), key=rates.get)
        return f"bottleneck: the input, its {slowest.split()[0]}"
    return (
        f"bottleneck: the model, which takes {wanted:.0f} images/s of the "
        f"{rates['jpeg'] * cores:.0f} that {cores} cores could deliver"
    )


def pin(cores):
    """Keeps every thread of this process, and what they start, to some cores."""
    for task in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(task), cores)


def cpu_name():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    rng = np.random.default_rng(0)
    pictures = [photograph(rng) for _ in range(_PICTURES.value)]
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        jpeg = write(root / "jpeg", "jpeg", pictures)
        raw = write(root / "raw", "raw", pictures)
        source, sizes = records.open_records(jpeg, "train"), []
        (root / "files").mkdir()
        for index in range(len(source)):
            encoded = source[index].encoded
            (root / "files" / f"{index:06}.jpg").write_bytes(encoded)
            sizes.append(len(encoded))
        print(
            f"{len(sizes)} pictures; JPEGs of {np.mean(sizes) / 1000:.1f} kB on average, "
            f"{min(sizes) / 1000:.1f} to {max(sizes) / 1000:.1f}; {cpu_name()}"
        )
        every = os.sched_getaffinity(0)
        pin({_CORE.value})
        seconds = on_one_core(jpeg, raw, str(root / "files"))
        pin(every)
        rates = {name: 1 / taken for name, taken in seconds.items()}
        for name, rate in rates.items():
            print(f"{name:24} {rate:9.0f} images/s on one core {1e6 / rate:8.1f} us")
        steps, precision = {}, None
        if not _SKIP_MODEL.value:
            steps, precision = with_the_model(jpeg)
            for name, taken in steps.items():
                print(f"{name:24} {BATCH / taken:9.1f} images/s {1e3 * taken:12.1f} ms")
    judged = judge(rates, steps)
    for limit in judged:
        met = "met" if limit["met"] else "MISSED"
        print(f"{limit['name']:32} {limit['value']:9.2f}  {limit['limit']:10} {met}")
    if _JSON.value:
        report = {
            "cpu": cpu_name(),
            "cores": len(every),
            "tensorflow": tf.__version__,
            "pictures": len(sizes),
            "jpeg_bytes": float(np.mean(sizes)),
            "images_per_s_a_core": rates,
            "step_s": steps,
            "precision": precision,
            "limits": judged,
            "bottleneck": bottleneck(rates, steps),
        }
        pathlib.Path(_JSON.value).write_text(json.dumps(report, indent=2) + "\n")
    print(bottleneck(rates, steps))
    return 0 if all(limit["met"] for limit in judged) else 1


if __name__ == "__main__":
    app.run(main)
