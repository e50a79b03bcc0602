"""What a run folder tells about its run, and what is missing from it."""

import dataclasses
import json
import pathlib
import shlex
import shutil

import pytest

from alexnet_tf.data import input_pipeline
from alexnet_tf.drawing.report import contents, facts, model_card, words
from alexnet_tf.drawing.report.missing import Missing
from alexnet_tf.drawing.report.page import Absent, Code, Details, Table
from alexnet_tf.models import trained
from alexnet_tf.runtime import options
from alexnet_tf.training.train_options import TrainOptions
from tests.support import nets, runs

EVALUATION = {
    **{"checkpoint": "runs/x/checkpoints/step-90", "step": 90, "dataset": "data/x"},
    **{"split": "validation", "precision": "float32", "images": 400},
    "center_crop": {"top1_error": 20.0, "top5_error": 1.5, "loss": 0.7},
    "ten_crop": {"top1_error": 19.0, "top5_error": 1.25, "loss": 0.6},
}


@pytest.fixture
def folder(trained_run, tmp_path):
    """A copy of a run of 90 steps, which was evaluated."""
    copied = tmp_path / "mine"
    shutil.copytree(trained_run, copied)
    (copied / "evaluation.json").write_text(json.dumps(EVALUATION))
    return copied


@pytest.fixture
def imported(tmp_path):
    origin = trained.Imported(
        "bvlc.caffemodel", "Caffe model", "ab" * 32, "BVLC AlexNet"
    )
    return runs.write_untrained(tmp_path / "imported", nets.SMALL, imported=origin)


def values(blocks):
    """All rows of the tables among blocks, by the first cell."""
    tables = [block for block in blocks if isinstance(block, Table)]
    return {row[0]: row[1:] for table in tables for row in table.rows}


def test_a_run_tells_everything_about_itself(folder, small_dataset):
    run = facts.read(str(folder))
    assert (run.name, run.step, run.epochs) == ("mine", 90, 30.0)
    assert run.training_data == small_dataset
    assert run.flags.recipe.learning_rate == 0.0015
    assert run.environment["cores"].isdigit()
    assert run.log.steps == 90
    assert run.evaluation == EVALUATION
    fields = (getattr(run, field.name) for field in dataclasses.fields(run))
    assert not [fact for fact in fields if isinstance(fact, Missing)]
    assert (
        "after 30 passes; it is also the best one"
        in values(contents.summary(run))["Checkpoint"][0]
    )


@pytest.mark.parametrize(("images", "passes"), [(24, 30.0), (31, 30.0), (32, 22.5)])
def test_passes_count_whole_batches_as_training_does(folder, images, passes):
    run = facts.read(str(folder))
    counts = {**run.training_data.counts, "train": images}
    data = dataclasses.replace(run.training_data, counts=counts)
    assert dataclasses.replace(run, training_data=data).epochs == passes
    batch_size = run.flags.recipe.batch_size
    assert passes == run.step / input_pipeline.steps_per_epoch(data, batch_size)


@pytest.mark.parametrize(
    ("name", "fact", "why"),
    [
        ("resolved.flags", "flags", "resolved.flags: no such file"),
        ("environment.json", "environment", "environment.json: no such file"),
        ("log.jsonl", "log", "log.jsonl: no such file"),
        ("evaluation.json", "evaluation", "the net was not evaluated. python -m"),
        ("best", "best", "no validation has chosen one"),
        ("checkpoints", "checkpoint", "holds no checkpoint"),
    ],
)
def test_what_is_not_in_the_folder_is_missing_with_a_reason(folder, name, fact, why):
    path = folder / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    run = facts.read(str(folder))
    assert why in getattr(run, fact).why
    for section in (
        *(contents.summary, contents.command, contents.data, contents.machine),
        *(contents.errors, lambda run: contents.curves(run, Absent("a", "b"))),
        lambda run: [model_card.section(run, "card", intended_use=None, license=None)],
    ):
        assert section(run)


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[1]", b"\xff\xfe", b"null", b"--no_such_flag=1", b"[" * 100_000],
    ids=["empty", "cut", "list", "bytes", "null", "flag", "deep"],
)
@pytest.mark.parametrize(
    ("name", "fact"),
    [
        ("resolved.flags", "flags"),
        ("environment.json", "environment"),
        ("log.jsonl", "log"),
        ("evaluation.json", "evaluation"),
        ("changes.jsonl", "changes"),
    ],
)
def test_a_damaged_file_is_named_and_stops_nothing(folder, name, fact, damage):
    if damage == b"" and name in ("resolved.flags", "changes.jsonl"):
        pytest.skip("an empty one is a record of the defaults, or of no change")
    (folder / name).write_bytes(damage)
    missing = getattr(facts.read(str(folder)), fact)
    assert isinstance(missing, Missing)
    assert name in missing.why


@pytest.mark.parametrize(
    "change",
    [
        {"images": "many"},
        {"step": None},
        {"center_crop": None},
        {"center_crop": {"top1_error": 10**400, "top5_error": 1, "loss": 0}},
        {"ten_crop": {"top1_error": 1, "top5_error": True, "loss": 0}},
    ],
)
def test_an_evaluation_that_lacks_numbers_is_damaged(folder, change):
    (folder / "evaluation.json").write_text(json.dumps(EVALUATION | change))
    missing = facts.read(str(folder)).evaluation
    assert "is damaged: it lacks" in missing.why
    assert next(iter(change)) in missing.why


def test_a_dataset_that_is_gone_is_named_in_its_place(folder, tmp_path):
    described = json.loads((folder / "model.json").read_text())
    described["dataset"]["path"] = str(tmp_path / "gone")
    (folder / "model.json").write_text(json.dumps(described))
    run = facts.read(str(folder))
    (block,) = contents.data(run)
    assert isinstance(block, Absent)
    assert f"{tmp_path / 'gone'}, which is not there" in block.why
    assert run.epochs is None  # of how many images is not known


def test_another_dataset_stands_beside_that_of_the_training(folder, small_dataset):
    run = facts.read(str(folder), str(small_dataset.path))
    titles = [b.caption for b in contents.data(run) if isinstance(b, Table)]
    assert [t for t in titles if t.startswith("The dataset")] == [
        "The dataset that the net was trained on",
        "The dataset that this page shows answers on",
    ]


def test_an_imported_net_says_why_it_has_no_log(imported):
    run = facts.read(str(imported))
    for fact in (run.flags, run.log, run.environment, run.best):
        assert fact.why.startswith("the weights were imported from bvlc.caffemodel")
    command, table = contents.command(run)
    assert "alexnet_tf.import_weights" in command.text
    assert "--from=bvlc.caffemodel" in command.text
    assert values([table])["Known as"] == ("BVLC AlexNet",)
    card = values(
        model_card.section(run, "card", intended_use=None, license="BSD").blocks
    )
    assert "known as BVLC AlexNet" in card["Trained on"][0].why
    assert card["License of the weights"] == ("BSD",)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(OSError, match="expected a run folder"):
        facts.read(str(tmp_path))
    with pytest.raises(OSError, match="there is no checkpoint"):
        facts.read(str(tmp_path / "nothing"))


def test_the_log_is_read_line_by_line(tmp_path):
    lines = [
        '{"kind": "train", "step": 10, "loss": 2, "images_per_s": 50}',
        '{"kind": "train", "step": 20, "loss": 1, "images_per_s": 100}',
        '{"kind": "train", "step": 30, "loss": NaN, "images_per_s": 200}',
        '{"kind": "validation", "step": 30, "top1_error": 9, "top5_error": 1, "loss": NaN}',
        '{"kind": "weights", "step": 30}',
        '{"kind": "validation", "step": 40}',
        '{"kind": "train", "step": 40, "images_per_s": 0}',
        '{"kind": "train", "step": "50", "images_per_s": 1}',
        '{"kind": "train", "step": 60, "images_per_s": 1',
        '{"kind": "train", "step": 1' + "0" * 400 + ', "images_per_s": 1}',
        "\x00",
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    log = facts.read_log(tmp_path, 100)
    assert (log.steps, log.images_per_s, log.unreadable) == (30, 100, 6)
    assert log.training_s == 10 * 100 / 50 + 10 * 100 / 100 + 10 * 100 / 200
    assert [record["step"] for record in log.validations] == [30]
    assert facts.read_log(tmp_path, None).training_s is None


def test_the_command_that_is_shown_makes_the_same_run(folder):
    run = facts.read(str(folder))
    command, details = contents.command(run)
    assert isinstance(command, Code)
    assert isinstance(details, Details)
    _, *flags = shlex.split(command.text.replace("\\\n", ""))[2:]
    parsed = options.parse(TrainOptions, flags)
    # Where the images and the run were is nobody else's business.
    places = {
        "dataset": "…/small",
        "run_dir": f"…/{pathlib.Path(run.flags.run.run_dir).name}",
    }
    assert parsed == options.replace(run.flags, resume=False, **places)


def with_classes(run, classes):
    net = dataclasses.replace(
        run.net,
        architecture=run.net.architecture.with_classes(classes),
        class_names=tuple(map(str, range(classes))),
    )
    return dataclasses.replace(run, net=net)


def everything_about_errors(run):
    card = model_card.section(run, "card", intended_use=None, license=None)
    parts = [contents.summary(run), contents.errors(run), card.blocks]
    return repr([*parts, contents.comparison([run])])


def test_the_errors_of_another_checkpoint_are_nowhere_on_the_page(folder):
    run = facts.read(str(folder))
    assert values(contents.errors(with_classes(run, 6)))["ten crops"] == (
        *("19.00 %", "1.25 %", "0.6000"),
    )
    assert "19.00 %" in everything_about_errors(run)
    (folder / "evaluation.json").write_text(json.dumps(EVALUATION | {"step": 60}))
    other = facts.read(str(folder))
    assert "has the errors of step 60, and this page shows step 90" in (
        other.evaluation.why
    )
    shown = everything_about_errors(other)
    own = next(v for v in run.log.validations if v["step"] == 90)["top1_error"]
    assert shown.count(f"{own:.2f} %") == 4  # summary, errors, card, table of all runs
    assert "20.00 %" not in shown
    assert "19.00 %" not in shown
    assert "Ten crops were not measured at step 90: python -m" in shown


def test_an_evaluation_without_its_checkpoint_is_still_shown(folder):
    shutil.rmtree(folder / "checkpoints")
    shutil.rmtree(folder / "best")
    table, note = contents.errors(facts.read(str(folder)))
    assert values([table])["ten crops"][0] == "19.00 %"
    assert note.text == "These are the errors of step 90, whose checkpoint is not here."


def test_threads_that_tensorflow_chooses_are_not_called_0(folder):
    run = facts.read(str(folder))
    chosen = {"cores": "2", "intra-op threads": "0", "inter-op threads": "3"}
    rows = values(contents.machine(dataclasses.replace(run, environment=chosen)))
    assert rows["intra-op threads"] == ("one per core",)
    assert rows["inter-op threads"] == ("3",)


def test_the_model_card_names_what_is_known_of_the_source(folder, small_dataset):
    run = facts.read(str(folder))
    garments = dataclasses.replace(small_dataset, source="tfds:garments/1.0.0")

    def card(run, **said):
        said = {"intended_use": None, "license": None} | said
        return values(model_card.section(run, "card", **said).blocks)

    known = card(dataclasses.replace(run, training_data=garments))
    assert known["License of the images"][0].startswith("MIT license")
    assert known["Intended use"][0].startswith("Teaching")
    unknown = card(run)
    assert isinstance(unknown["License of the images"][0], Missing)
    assert '--intended_use="..."' in unknown["Intended use"][0].why
    assert card(run, intended_use="Sorting.")["Intended use"] == ("Sorting.",)
    # 1.96 * sqrt(0.2 * 0.8 / 400) is 3.92 points.
    assert "about 3.9 points" in unknown["Limits of these numbers"][0]
    assert "top-1 error is 20.00 % with the center crop" in unknown["Errors"][0]


def test_a_folder_that_is_called_like_a_source_is_not_that_source(small_dataset):
    called = dataclasses.replace(
        small_dataset, name="garments", source="folder:garments"
    )
    assert model_card.known_source(called) is None


def test_long_tables_are_folded_up(folder, small_dataset):
    run = facts.read(str(folder))
    names = tuple(f"class{number}" for number in range(100))
    many = dataclasses.replace(
        small_dataset, classes=names, class_counts={"train": [7] * 100}
    )
    blocks = contents.data(dataclasses.replace(run, training_data=many, data=many))
    assert [type(block) for block in blocks] == [Table, Details]
    assert len(blocks[1].blocks[0].rows) == 100


@pytest.mark.parametrize("classes", [3, 5, 6])
def test_a_top5_error_is_shown_if_it_can_differ_from_0(folder, classes):
    run = with_classes(facts.read(str(folder)), classes)
    curves = repr(contents.curves(run, Absent("The picture of the curves", "")))
    for shown in (everything_about_errors(run), curves):
        assert ("op-5 error" in shown) == (classes == 6)


def test_times_are_in_units_that_suit_them():
    assert words.duration(0) == "0 s"
    assert words.duration(59.6) == "1 min"
    assert words.duration(86400 + 61) == "1 d 1 min"
    assert words.duration(float("inf")) == "inf"
