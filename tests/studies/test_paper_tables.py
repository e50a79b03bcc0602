"""The tables of the paper with measured numbers beside them."""

import csv
import io
import json

import pytest
from absl import flags

from alexnet_tf.runtime import options
from alexnet_tf.studies import measured, paper, paper_tables
from alexnet_tf.studies import plan as plans
from alexnet_tf.training import train_options


@pytest.fixture
def run(tmp_path):
    """Writes the folder of an evaluated run, as `train` and `evaluate` leave it."""
    count = iter(range(1000))

    def write(top1, *, top5=1.0, dataset="garments", split="test", classes=10, **given):
        number = next(count)
        folder = tmp_path / f"run{number}"
        folder.mkdir()
        given = {"architecture": "small", **given}
        chosen = options.replace(train_options.TrainOptions(), **given)
        options.write(folder / train_options.RECORD, chosen)
        net = train_options.net_of(chosen.net)
        images = tmp_path / "data" / dataset
        images.mkdir(parents=True, exist_ok=True)
        class_names = [f"class{n}" for n in range(classes)]
        (images / "dataset.json").write_text(
            json.dumps({"name": dataset, "classes": class_names})
        )
        errors = {"top1_error": top1, "top5_error": top5}
        center = {"top1_error": top1 + 5, "top5_error": top5 + 5}
        for name, content in {
            "model.json": {
                "architecture": {"name": net.name},
                "class_names": class_names,
                "dataset": {"path": str(images), "digest": dataset},
            },
            "evaluation.json": {
                **{"dataset": str(images), "split": split},
                **{"ten_crop": errors, "center_crop": center},
            },
            "environment.json": {"cores": "2", "processor": "P", "GPUs": ""},
        }.items():
            (folder / name).write_text(json.dumps(content))
        record = {"kind": "train", "step": 10, "images_per_s": 12.8}
        (folder / "log.jsonl").write_text(json.dumps(record) + "\n")
        return folder

    return write


def average_of(path, *, count, net="paper", dataset="imagenet2012", top1=38.2):
    """Writes what `evaluate --output` writes for several nets."""
    errors = {"ten_crop": {"top1_error": top1, "top5_error": 16.5}}
    mean = {"ten_crop": {"top1_error": top1 + 2, "top5_error": 18.5}}
    what = {"dataset": f"/data/{dataset}", "split": "validation"}
    nets = [{"architecture": net}] * count
    path.write_text(json.dumps({**what, "nets": nets, "mean": mean, "average": errors}))
    return path


def rows_of(*paths):
    """The rows of all tables by table and name, each a dict by column."""
    found = {}
    for number, table in enumerate(paper_tables.tables_of(measured.read(paths))):
        for name, *cells in table.rows:
            row = dict(zip(paper_tables.HEADER, cells, strict=True))
            found.setdefault((number, name), []).append(row)
    return found


TABLE1, TABLE2, ABLATIONS, OTHERS = range(4)


def test_what_was_not_run_is_blank():
    rows = rows_of()
    assert {row["ours"] for found in rows.values() for row in found} == {""}
    assert rows[TABLE2, "1 CNN"][0]["paper"] == "40.7 / 18.2 / \u2013"
    assert rows[TABLE1, "CNN"][0]["2012 log"] == "37.47 / 17.00"


def test_the_differences_of_the_logs_are_those_of_their_errors():
    # Footers of layer-params-145, -148 and -147 on the images of 2012, and of -145-2010
    # and -145-half on those of 2010.
    whole, half = (0.406640, 0.182100), (0.391680, 0.182287)
    pairs = {
        "LRN": ((0.420340, 0.193620), whole),
        "overlap of the pooling windows": ((0.410580, 0.185100), whole),
        "second GPU": (half, (0.374727, 0.169987)),
    }
    logs = {each.name: each.log for each in paper.ABLATIONS}
    for name, (without, of_whole) in pairs.items():
        differences = (100 * (a - b) for a, b in zip(without, of_whole, strict=True))
        assert logs[name] == " / ".join(f"{d:+.2f}" for d in differences)


def test_runs_belong_to_a_row_by_net_dataset_and_split(run):
    net, images = {"architecture": "cuda_convnet"}, "ilsvrc2010"
    rows = rows_of(
        run(37.0, top5=17.0, dataset=images, **net),
        run(39.0, top5=18.0, dataset=images, seed=1, **net),
        run(30.0, dataset=images, split="validation", seed=2, **net),
        run(50.0, dataset=images, architecture="no_lrn"),
        run(60.0, dataset="imagenet2012", **net),
    )
    (found,) = rows[TABLE1, "CNN"]
    assert found["ours"] == "38.00 ± 1.41 / 17.50 ± 0.71"
    assert (found["seeds"], found["measured on"]) == ("2", "ilsvrc2010 test")
    assert found["cost"] == "2 trainings of 100 s on 2 cores of P"  # 10 steps of 128
    assert rows[TABLE2, "1 CNN"][0]["ours"] == ""


def test_a_net_that_starts_from_weights_is_in_the_row_with_the_asterisk(run):
    images = {"dataset": "imagenet2012", "split": "validation"}
    rows = rows_of(run(39.0, top5=16.0, architecture="conv6", weights="w", **images))
    assert rows[TABLE2, "1 CNN*"][0]["ours"] == "39.00 / 16.00"
    rows = rows_of(run(39.0, top5=16.0, architecture="conv6", **images))
    assert rows[TABLE2, "1 CNN*"][0]["ours"] == ""


def test_averages_belong_to_the_rows_by_the_number_of_their_nets(tmp_path):
    rows = rows_of(
        average_of(tmp_path / "five.json", count=5),
        average_of(tmp_path / "four.json", count=4),
    )
    assert rows[TABLE2, "5 CNNs"][0]["ours"] == "38.20 / 16.50"
    assert rows[TABLE2, "7 CNNs*"][0]["ours"] == ""
    assert rows[OTHERS, "mean of 4 nets (paper)"][0]["ours"] == "40.20 / 18.50"
    assert rows[OTHERS, "average of 4 nets (paper)"][0]["ours"] == "38.20 / 16.50"


def test_a_top5_error_of_five_classes_is_left_out_because_it_is_always_0(run, tmp_path):
    few = {"top5": 0.0, "architecture": "small", "classes": 5}
    whole = [run(20.0, seed=seed, **few) for seed in (0, 1)]
    without = [run(21.0, seed=seed, without=("lrn",), **few) for seed in (0, 1)]
    average = average_of(tmp_path / "two.json", count=2)
    about = json.loads(average.read_text())
    about["dataset"] = str(tmp_path / "data/garments")
    average.write_text(json.dumps(about))
    rows = rows_of(*whole, *without, average)
    assert rows[ABLATIONS, "LRN"][0]["ours"] == "+1.00 ± 0.00 / \N{EN DASH}"
    nets = [
        each for (table, _), found in rows.items() if table == OTHERS for each in found
    ]
    ours = {row["ours"] for row in nets if row["seeds"]}
    assert ours == {"20.00 ± 0.00 / \N{EN DASH}", "21.00 ± 0.00 / \N{EN DASH}"}
    assert rows[OTHERS, "average of 2 nets (paper)"][0]["ours"] == "38.20 / \N{EN DASH}"
    assert rows[OTHERS, "mean of 2 nets (paper)"][0]["ours"] == "40.20 / \N{EN DASH}"


CHANGES = {
    "LRN": {"without": ("lrn",)},
    "overlap of the pooling windows": {"without": ("overlap",)},
    "second GPU": {"without": ("tower",)},
    "exchange between the towers": {"without": ("exchange",)},
    "conv3": {"without": ("conv3",)},
    "conv4": {"without": ("conv4",)},
    "conv5": {"without": ("conv5",)},
    "color noise": {"color_noise": "none"},
    "crops and mirrors": {"crops": "center", "mirror": False},
    "dropout": {"dropout_rate": 0.0},
    "weight decay": {"weight_decay": 0.0},
}


def test_every_ablation_is_covered():
    assert {each.name for each in paper.ABLATIONS} == CHANGES.keys()


@pytest.mark.parametrize("name", CHANGES)
def test_an_ablation_is_two_kinds_of_runs_that_differ_in_nothing_else(run, name):
    common = {"architecture": "small", "epochs": 2.0}
    whole = [run(20.0 + s, seed=s, **common) for s in (0, 1)]
    without = [run(21.0 + 2 * s, seed=s, **common, **CHANGES[name]) for s in (0, 1)]
    rows = rows_of(*whole, *without)
    (found,) = rows[ABLATIONS, name]
    # Paired: 21 - 20 and 23 - 21.
    assert found["ours"] == "+1.50 ± 0.71 / +0.00 ± 0.00"
    assert (found["seeds"], found["measured on"]) == ("2", "small, garments test")
    # The command is that of these runs, and not that for the paper's images.
    for made in (whole[0], without[0]):
        assert f"train --flagfile={made}/resolved.flags --run_dir=" in found["command"]
    assert "study" not in found["command"]
    for other in CHANGES.keys() - {name}:
        assert rows[ABLATIONS, other][0]["ours"] == ""


@pytest.mark.parametrize(
    "differs", [{"epochs": 3.0}, {"momentum": 0.5}, {"dataset": "other"}, {"seed": 9}]
)
def test_runs_that_differ_in_something_else_are_no_ablation(run, differs):
    common = {"architecture": "small"}
    rows = rows_of(run(20.0, **common), run(21.0, without=("lrn",), **common | differs))
    assert rows[ABLATIONS, "LRN"][0]["ours"] == ""


@pytest.mark.parametrize(
    ("name", "whole", "without"),
    [
        ("LRN", "cuda_convnet", "no_lrn"),
        ("LRN", "cifar10_11pct", "cifar10_11pct_no_lrn"),
        ("second GPU", "cuda_convnet", "one_gpu"),
        ("overlap of the pooling windows", "cuda_convnet", "pool2x2"),
    ],
)
def test_the_nets_of_the_2012_program_are_ablations_too(run, name, whole, without):
    rows = rows_of(run(20.0, architecture=whole), run(22.0, architecture=without))
    assert rows[ABLATIONS, name][0]["ours"] == "+2.00 / +0.00"


def test_ablations_that_were_not_run_have_commands_with_folders_of_their_own():
    found = [
        row
        for (number, _), rows in rows_of().items()
        if number == ABLATIONS
        for row in rows
    ]
    commands = [row["command"] for row in found]
    folders = [command.partition("--output=")[2] for command in commands]
    assert "studies/lrn" in folders
    assert len(set(folders)) == len(folders) == len(paper.ABLATIONS) + 1


def test_an_ablation_on_two_datasets_has_two_rows(run):
    rows = rows_of(
        *(
            run(10.0 + n, architecture="small", without=without, dataset=dataset)
            for dataset in ("a", "b")
            for n, without in enumerate([(), ("lrn",)])
        )
    )
    assert [row["measured on"] for row in rows[ABLATIONS, "LRN"]] == [
        *("small, a test", "small, b test")
    ]


def test_the_same_run_in_two_studies_counts_once(run):
    net = {"architecture": "small"}
    first = run(10.0, **net)
    # The rate that the net has by itself is no other kind of run.
    rows = rows_of(
        first, first, run(10.0, dropout_rate=0.5, weight_decay=0.0005, **net)
    )
    assert [row["seeds"] for row in rows[OTHERS, "small"]] == ["1"]


def test_figure_1_is_a_ratio_of_passes(tmp_path):
    passes = {"relu": 2.0, "tanh": 9.0}
    compared = [
        {
            "values": {"activation": name, "learning_rate": "0.01"},
            "measures": {"passes": {"mean": mean, "by_seed": {"0": mean, "1": mean}}},
            "training_s": 60.0,
        }
        for name, mean in passes.items()
    ]
    study = {
        **{"flags": ["--dataset=garments", "--architecture=figure1"], "reach": 25.0},
        **{"compared": compared, "settings": compared, "runs": [], "finished": 4},
        **{"vary": {"activation": ["relu", "tanh"]}, "best": None},
        "machines": ["2 cores of P"],
    }
    (tmp_path / "study.json").write_text(json.dumps(study))
    (found,) = rows_of(tmp_path)[ABLATIONS, "ReLU (tanh instead)"]
    assert found["ours"] == "4.5 times the passes to 25 % training error"
    assert found["measured on"] == "figure1, garments"
    assert found["command"] == (
        "python -m alexnet_tf.study --dataset=garments --architecture=figure1 "
        "--vary=activation=relu,tanh --reach=25 --output=..."
    )
    assert found["cost"] == "4 trainings of 60 s on 2 cores of P"


@pytest.mark.parametrize("style", ["text", "markdown", "latex"])
def test_every_table_that_has_rows_is_written(style):
    tables = paper_tables.tables_of(measured.read([]))
    shown = paper_tables.render(tables, style)
    assert all(table.title in shown for table in tables[:3])
    assert tables[OTHERS].title not in shown


def test_csv_is_one_sheet():
    tables = paper_tables.tables_of(measured.read([]))
    header, *rows = csv.reader(io.StringIO(paper_tables.render(tables, "csv")))
    assert header == ["table", "row", *paper_tables.HEADER]
    assert len(rows) == sum(len(table.rows) for table in tables)


@pytest.mark.parametrize(
    "ablation", [*paper.ABLATIONS, paper.FIGURE1], ids=lambda each: each.name
)
def test_the_command_of_every_ablation_can_be_studied_on_the_papers_images(ablation):
    own = {"best", "reach"}  # of the study, and not of train
    values = flags.FlagValues()
    options.define(train_options.TrainOptions, values)
    given = [f for f in ablation.flags if f[2:].partition("=")[0] not in own]
    options.parse_flags(values, given)
    factors = tuple(map(plans.factor_of, ablation.vary))
    plan = plans.Plan(plans.common_flags(values), factors, (0,), "out")
    plan.check()
    # One of its combinations is what the change says.
    made = [
        options.values_of(options.parse(train_options.TrainOptions, plan.flags_of(run)))
        for run in plan.runs()
    ]
    for change in ablation.changes:
        wanted = {flag: value for flag, (_, value) in change.items()}
        if "architecture" not in wanted:
            assert any(wanted.items() <= each.items() for each in made)


def test_a_run_without_an_evaluation_has_a_row_with_the_command_that_makes_it(run):
    bare, whole = run(10.0), run(20.0)
    (bare / "evaluation.json").unlink()
    others = paper_tables.tables_of(measured.read([bare, whole]))[OTHERS].rows
    first, second = (
        dict(zip(("row", *paper_tables.HEADER), row, strict=True)) for row in others
    )
    assert first["ours"] == "20.00 / 1.00"
    assert second["row"] == f"small ({bare})"
    assert (second["ours"], second["measured on"]) == ("", "not evaluated yet")
    assert second["command"] == f"python -m alexnet_tf.evaluate --checkpoint={bare}"


def lack_of(*paths):
    (lack,) = measured.read(paths).lacking
    assert lack.command == ""
    return lack.why


@pytest.mark.parametrize(
    ("removed", "message"),
    [
        ("resolved.flags", "was not trained here"),
        ("model.json", "is neither a run folder"),
    ],
)
def test_a_run_that_cannot_be_in_a_table_is_named(run, removed, message):
    folder = run(10.0)
    (folder / removed).unlink()
    assert message in lack_of(folder)


def test_a_file_of_a_single_net_or_another_file_is_named(run, tmp_path):
    single = run(10.0) / "evaluation.json"
    assert "no result of evaluate --output for several" in lack_of(single)
    (tmp_path / "x").write_text("no JSON")
    assert "x is damaged, or no JSON" in lack_of(tmp_path / "x")
    (tmp_path / "studies").mkdir()
    said = lack_of(tmp_path / "study")
    assert said == f"{tmp_path}/study does not exist. Did you mean {tmp_path}/studies?"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("model.json", "{}"), ("model.json", "[" * 100_000)),
        *(("evaluation.json", "[]"), ("resolved.flags", "--no_such_flag=1")),
        *(("log.jsonl", "{}"), ("environment.json", "nothing")),
    ],
)
def test_a_damaged_run_keeps_no_other_from_its_row(run, name, text):
    folder, other = run(10.0), run(20.0)
    (folder / name).write_text(text)
    found = measured.read([folder, other])
    assert [each.path for each in found.trained] == [str(other)]
    assert [each.path for each in found.lacking] == [str(folder)]
    assert "\n" not in found.lacking[0].why
