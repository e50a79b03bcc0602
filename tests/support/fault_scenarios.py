"""What writes files is done with a fault at every point: see `faults`.

    LD_PRELOAD=faults.so python -m tests.support.fault_scenarios FOLDER NAME=STRIDE ...

prints for each name and mode the number of points, or what was found broken, as JSON.
"""

import json
import pathlib
import sys
import traceback

import numpy as np

from alexnet_tf.runtime import files
from tests.support import faults


class Text:
    """A file that replaces another."""

    def prepare(self, place):
        files.write_text(place / "file", "old" * 1000)

    def act(self, place):
        files.write_text(place / "file", "new!" * 1000)

    def check(self, place, done, tidy):
        found = (place / "file").read_text()
        assert found in ("new!" * 1000, *([] if done else ["old" * 1000])), found[:9]
        if tidy:
            assert [path.name for path in place.iterdir()] == ["file"]


class InPlace(Text):
    """A file that is overwritten, as no file should be."""

    def act(self, place):
        (place / "file").write_text("new!" * 1000)


class Unsynced(Text):
    """A file that is renamed before its bytes are on the disk."""

    def act(self, place):
        (place / ".new").write_text("new!" * 1000)
        (place / ".new").rename(place / "file")


class Folder:
    """A model version, which a server may load as soon as its name is there."""

    def prepare(self, place):
        (place / "export").mkdir()

    def act(self, place):
        from alexnet_tf.serving import model_versions

        path = place / "export/1"
        if path.exists():
            return
        with model_versions.new_version(path) as temporary:
            (temporary / "variables").mkdir(parents=True)
            (temporary / "saved_model.pb").write_text("graph")
            (temporary / "variables/data").write_bytes(b"weights" * 5000)

    def check(self, place, done, tidy):
        path = place / "export/1"
        if done or path.exists():
            assert (path / "saved_model.pb").read_text() == "graph"
            assert (path / "variables/data").read_bytes() == b"weights" * 5000
        if tidy:
            assert list((place / "export").iterdir()) == [path]


class Description:
    """`model.json` and `mean.npy` of a run that is resumed in another precision."""

    def net(self, precision):
        from alexnet_tf.models import trained
        from tests.support import nets

        return trained.TrainedNet(
            nets.SMALL,
            tuple("abcde"),
            np.full((99, 99, 3), 7, np.float32),
            *("original", precision, "/nowhere", "0"),
        )

    def prepare(self, place):
        from alexnet_tf.models import trained

        trained.write_trained_net(place, self.net("float32"))

    def act(self, place):
        from alexnet_tf.models import trained

        trained.write_trained_net(place, self.net("bfloat16"))

    def check(self, place, done, tidy):
        from alexnet_tf.models import trained

        found = trained.read_trained_net(place).precision
        assert found in ("bfloat16", *([] if done else ["float32"])), found
        if tidy:
            names = sorted(path.name for path in place.iterdir())
            assert names == ["mean.npy", "model.json"], names


class Checkpoint:
    """A checkpoint that is added to two, of which the older one goes."""

    folder = "checkpoints"
    before = (1, 2)
    after = 3
    left = (2, 3)

    def __init__(self):
        import keras
        import tensorflow as tf

        from alexnet_tf.training import checkpoint
        from tests.support import by_hand

        inputs = keras.Input((4,))
        self.model = keras.Model(inputs, keras.layers.Dense(200, name="fc")(inputs))
        self.velocities = [tf.Variable(v.value) for v in self.model.trainable_variables]
        self.saver = lambda place: checkpoint.Checkpoints(
            place, self.model, self.velocities, by_hand.TRAINED
        )

    def save(self, place, step, value):
        for variable in (*self.model.trainable_variables, *self.velocities):
            variable.assign(np.full(variable.shape, value))
        self.saver(place).save(step, {"value": value}, self.folder)

    def value_of(self, prefix):
        """The value that the weights of a checkpoint have, all of them."""
        from alexnet_tf.models import checkpoint_weights

        checkpoint_weights.load_weights(prefix, self.model)
        (value,) = {float(w) for v in self.model.get_weights() for w in v.flat}
        assert checkpoint_weights.read_state(prefix)["value"] == value
        return value

    def prepare(self, place):
        for step in self.before:
            self.save(place, step, float(step))

    def act(self, place):
        self.save(place, self.after, 10.0)

    def check(self, place, done, tidy):
        from alexnet_tf.models import checkpoint_files

        folder = place / self.folder
        # Each one that a reader finds is whole, and there are enough of them.
        prefixes = checkpoint_files.list_checkpoints(folder)
        values = [self.value_of(prefix) for prefix in prefixes]
        assert len(values) >= min(len(self.before), len(self.left)), prefixes
        assert set(values) <= {*map(float, self.before), 10.0}
        assert (10.0 if done else float(self.before[-1])) in values, prefixes
        if self.folder == "checkpoints":
            step, state = self.saver(place).restore()
            assert (step, state["value"]) in ((self.after, 10.0), (2, 2.0))
        if tidy:
            steps = [checkpoint_files.step_of(prefix) for prefix in prefixes]
            assert steps == list(self.left)
            assert values[-1] == 10.0
            assert len(list(folder.iterdir())) == 2 * len(self.left)


class SameStep(Checkpoint):
    """A checkpoint of a step that has been saved before."""

    after = 2
    left = (1, 2)


class Best(Checkpoint):
    """The best checkpoint, of which there is only one when the next one is whole."""

    folder = "best"
    before = (2,)
    left = (3,)


class FirstCheckpoint(Checkpoint):
    """The first checkpoint of a run, whose folder is not there yet."""

    before = ()
    left = (3,)

    def check(self, place, done, tidy):
        if done or list((place / self.folder).glob("step-*.index")):
            super().check(place, True, tidy)


class RawShard:
    """A shard of raw records that replaces a longer one."""

    encoding = "raw"

    def write(self, path, count):
        from alexnet_tf.data import record_files

        image = (np.arange(8 * 8 * 3) % 251).astype(np.uint8).tobytes()
        named = [(f"{n}.png", record_files.Record(image, n)) for n in range(count)]
        record_files.write_shard(path, named, encoding=self.encoding, size=8)

    def prepare(self, place):
        for name, count in (("old", 70), ("new", 60)):
            self.write(place.parent / name, count)
        (place / "shard").write_bytes((place.parent / "old").read_bytes())

    def act(self, place):
        with files.written_aside(place / "shard") as temporary:
            self.write(temporary, 60)

    def check(self, place, done, tidy):
        old, new = ((place.parent / name).read_bytes() for name in ("old", "new"))
        assert (place / "shard").read_bytes() in (new, *([] if done else [old]))
        if tidy:
            assert [path.name for path in place.iterdir()] == ["shard"]


class JpegShard(RawShard):
    """A shard of records in TFDS's format that replaces a longer one."""

    encoding = "jpeg"


class Preparation:
    """A dataset of three shards; a preparation that was interrupted is continued."""

    def __init__(self):
        from alexnet_tf.data import preparation
        from tests.support import image_sources

        preparation._SHARD_BYTES = 10 * 12**2 * 3  # ten images
        examples = map(image_sources.example, range(30))
        self.source = image_sources.make_source(examples)

    def prepare(self, place):
        (place / "data").mkdir()

    def act(self, place):
        from alexnet_tf.data import preparation

        if not (place / "data/made").exists():
            preparation.prepare_dataset(
                self.source, place / "data/made", size=12, encoding="raw", workers=1
            )

    def check(self, place, done, tidy):
        from alexnet_tf.data import dataset_verification

        if done or (place / "data/made").exists():
            dataset_verification.verify_dataset(place / "data/made")
        if tidy:  # a power failure may bring the emptied folder of the work back
            names = {path.name for path in (place / "data").iterdir()}
            assert names <= {"made", "made.partial"}, names


class Features:
    """Features of six images in three batches; work that was interrupted is continued."""

    suffix = ".npy"
    rows = np.arange(6 * 5, dtype=np.float32).reshape(6, 5)

    def __init__(self):
        from alexnet_tf.evaluation import feature_files

        feature_files.SAVE_INTERVAL_S = 0.0

    def prepare(self, place):
        pass

    def act(self, place):
        from alexnet_tf.evaluation import feature_files

        if (place / f"features{self.suffix}").exists():
            return
        output = feature_files.check_output(place / f"features{self.suffix}", ["fc"])
        with feature_files.unfinished(output, {"fc": (5,)}, {"net": 1}, 6) as work:
            for start in range(work.progress.next_image, 6, 2):
                stop = start + 2
                work.append({"fc": self.rows[start:stop]}, [start, start + 1], stop)
            work.finish(list("abcdef"), ["c"], {"layer": "fc"})

    def check(self, place, done, tidy):
        output = place / f"features{self.suffix}"
        if done or output.exists():
            found = np.load(output)
            features = found if self.suffix == ".npy" else found["fc"]
            np.testing.assert_array_equal(features, self.rows)
            if self.suffix == ".npy":
                found = json.loads((place / "features.json").read_text())
            assert list(found["labels"]) == [0, 1, 2, 3, 4, 5]
            assert "".join(found["names"]) == "abcdef"
        if tidy:  # a power failure may bring the emptied folder of the work back
            names = {path.name for path in place.iterdir()}
            assert names <= {output.name, "features.json", f"{output.name}.partial"}


class FeaturesInOneFile(Features):
    """The same, with everything in one file."""

    suffix = ".npz"


class Predictions:
    """Predictions of six files in three batches; interrupted work is continued."""

    suffix = ".jsonl"

    def __init__(self):
        from alexnet_tf.serving import prediction_output

        prediction_output.SAVE_INTERVAL_S = 0.0

    def prepare(self, place):
        pass

    def act(self, place):
        from alexnet_tf.serving import prediction_output

        output = prediction_output.check_output(str(place / f"p{self.suffix}"))
        with prediction_output.unfinished(output, {"model": 1}) as work:
            if work.complete:
                return
            for row in range(work.rows, 6):
                work.append(
                    prediction_output.Prediction(f"{row}.png", ["x"], [row / 8])
                )
                if row % 2:
                    work.end_batch()
            work.finish()

    def check(self, place, done, tidy):
        output = place / f"p{self.suffix}"
        if self.suffix == ".npz" and output.exists():
            with np.load(output) as found:
                assert found["scores"].tolist() == [[row / 8] for row in range(6)]
        elif done:
            rows = [json.loads(line) for line in output.read_text().splitlines()]
            assert [row["scores"] for row in rows] == [[row / 8] for row in range(6)]
        if done:
            about = json.loads((place / f"{output.name}.about.json").read_text())
            assert (about["complete"], about["rows"]) == (True, 6)
        if tidy:  # a power failure may bring the emptied folder of the work back
            names = {path.name for path in place.iterdir()} - {f"{output.name}.partial"}
            assert names == {output.name, f"{output.name}.about.json"}, names


class PredictionsAsArrays(Predictions):
    """The same, in a file that cannot grow."""

    suffix = ".npz"


SCENARIOS = {
    "text": Text,
    "in_place": InPlace,
    "unsynced": Unsynced,
    "folder": Folder,
    "description": Description,
    "first_checkpoint": FirstCheckpoint,
    "checkpoint": Checkpoint,
    "same_step": SameStep,
    "best": Best,
    "raw_shard": RawShard,
    "jpeg_shard": JpegShard,
    "preparation": Preparation,
    "features": Features,
    "features_in_one_file": FeaturesInOneFile,
    "predictions": Predictions,
    "predictions_as_arrays": PredictionsAsArrays,
}


def found_of(name: str, folder: pathlib.Path, stride: int) -> dict[str, int | str]:
    """The number of points of a scenario, or what was found broken, by mode."""
    scenario = SCENARIOS[name]()
    found: dict[str, int | str] = {}
    for mode in faults.MODES:
        try:
            found[mode] = faults.at_every_point(
                folder,
                mode,
                prepare=scenario.prepare,
                act=scenario.act,
                check=scenario.check,
                stride=stride,
            )
        except faults.BrokenError as error:
            traceback.print_exc()
            found[mode] = str(error)
    return found


def main(folder: str, *chosen: str) -> None:
    strides = dict(each.split("=") for each in chosen)
    found = {
        name: found_of(name, pathlib.Path(folder), int(stride))
        for name, stride in strides.items()
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
