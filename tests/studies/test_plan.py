"""Which trainings a study consists of, and which are refused before the first one."""

import pytest
from absl import flags

from alexnet_tf.runtime import options
from alexnet_tf.studies import plan as plans
from alexnet_tf.training import train_options


def plan_of(*vary, common=(), seeds=(0, 1), output="out"):
    factors = tuple(map(plans.factor_of, vary))
    return plans.Plan(tuple(common), factors, seeds, output)


def test_every_combination_is_trained_with_every_seed():
    plan = plan_of("architecture=paper,no_lrn", "learning_rate=0.1,0.01", seeds=(0, 7))
    found = [(*run.setting, run.seed) for run in plan.runs()]
    assert len(set(found)) == 8
    assert found[:2] == [("paper", "0.1", 0), ("paper", "0.01", 0)]
    # A study that is stopped has all settings of its first seed.
    assert {seed for *_, seed in found[:4]} == {0}


def test_a_plan_without_anything_that_varies_is_one_run_per_seed():
    assert [run.name for run in plan_of().runs()] == ["run-seed0", "run-seed1"]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_the_parts_are_all_runs_and_no_run_twice(count):
    plan = plan_of("learning_rate=0.1,0.01,0.001", seeds=(0, 1, 2))
    parts = [plan.part(n, count) for n in range(1, count + 1)]
    names = [run.name for part in parts for run in part]
    assert sorted(names) == sorted(run.name for run in plan.runs())
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_what_train_is_given_names_the_values_the_seed_and_the_folder():
    plan = plan_of("without=,conv3", common=["--architecture=small"], output="o")
    whole, without = plan.runs()[:2]
    assert plan.flags_of(without) == [
        *("--architecture=small", "--without=conv3", "--seed=0"),
        *("--run_dir=o/without=conv3-seed0", "--resume"),
    ]
    chosen = options.parse(train_options.TrainOptions, plan.flags_of(whole))
    assert chosen.net.without == ()
    assert "--flagfile=o/study.flags --without=conv3" in plan.shell_commands()


def test_recipes_can_be_compared_and_the_common_flags_win_over_them():
    plan = plan_of(
        "flagfile=tools/paper.flags,tools/cuda_convnet.flags",
        common=["--epochs=3", "--tower_devices=auto"],
    )
    plan.check()
    names = [run.name for run in plan.runs()]
    assert names[0] == "flagfile=tools+paper.flags-seed0"
    nets = []
    for run in plan.runs()[:2]:
        chosen = options.parse(train_options.TrainOptions, plan.flags_of(run))
        assert (chosen.run.epochs, chosen.devices.tower_devices) == (3, ("auto",))
        nets.append(chosen.net.architecture)
    assert nets == ["paper", "cuda_convnet"]


def test_folders_differ_even_if_their_names_would_not():
    plan = plan_of("dataset=a/b;a,b;a b", seeds=(0,))
    names = [run.name for run in plan.runs()]
    assert len(set(names)) == 3
    assert not any(letter in name for name in names for letter in "/, ")


def test_very_long_values_still_have_folders():
    plan = plan_of(f"dataset={'a' * 300},{'a' * 301}", seeds=(0,))
    names = [run.name for run in plan.runs()]
    assert len(set(names)) == 2
    assert max(map(len, names)) < 200


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("drop_epochs=8,10;9", ("8,10", "9")),
        ("--seed_of=1,2", ("1", "2")),
        ("without=,lrn", ("", "lrn")),
        ("without=;lrn,conv3", ("", "lrn,conv3")),
        ("learning_rate= 0.1 , 0.2", ("0.1", "0.2")),
        ("weights=a=b,c", ("a=b", "c")),
    ],
)
def test_values_are_separated_by_commas_or_by_semicolons(text, values):
    assert plans.factor_of(text).values == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("architecture", "expected a flag of train and its values"),
        ("=a,b", "expected a flag of train and its values"),
        ("architecture=paper,paper", "paper occurs twice"),
        ("without=lrn,,", "the empty value occurs twice"),
    ],
)
def test_what_does_not_vary_a_flag_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        plans.factor_of(text)


@pytest.mark.parametrize(
    ("vary", "common", "message"),
    [
        (["architecture=paper,papr"], [], "--architecture=papr: must be one of paper"),
        (["architectur=paper,x"], [], "Unknown .* 'architectur'. Did you mean"),
        (["dropout_rat=0.5"], [], "Unknown .* 'dropout_rat'. Did you mean"),
        (
            ["architecture=paper"],
            [],
            "one value does not vary. Give --archi.*=paper to",
        ),
        (["learning_rate=0.1,-1"], [], "--learning_rate=-1.0: must be at least 0"),
        (["learning_rate=0.1,fast"], [], "learning_rate"),
        (["without=,conv9"], ["--architecture=small"], "with --without=conv9: --with"),
        (["architecture=small,figure1"], ["--without=lrn"], "with --architecture=fig"),
        (["schedule=epochs,plateau"], ["--validation=end"], "use --validation=epochs"),
        (["plateau_drops=3,4"], [], "does not read --plateau_drops=4"),
        (["seed=0,1"], [], "--vary=seed=... is not possible: the seeds are"),
        (["run_dir=a,b"], [], "every run has a folder below --output"),
        (["resume=true,false"], [], "always continues its runs"),
        (["strategy=none,mirrored"], [], "only be the same for all runs"),
        (["momentum=0.9,0.8", "momentum=0.1,0.2"], [], "names momentum twice"),
        ([], ["--strategy=multi_worker"], "--part=1/2"),
    ],
)
def test_what_train_refuses_is_refused_before_the_first_training(vary, common, message):
    with pytest.raises(ValueError, match=message):
        plan_of(*vary, common=common).check()


def test_a_study_of_options_that_go_together_is_accepted():
    plan_of(
        *("without=,lrn,conv3", "learning_rate=0.01,0.001"),
        common=["--architecture=small", "--flagfile=tools/cuda_convnet.flags"],
    ).check()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--seed=3"], "does not take --seed, because the seeds are those of --seeds"),
        (["--run_dir=x"], "does not take --run_dir"),
        (["--resume"], "does not take --resume"),
    ],
)
def test_flags_that_a_study_sets_itself_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        plans.common_flags(parsed(given))


def test_the_common_flags_are_those_that_are_given_in_files_too(tmp_path):
    (tmp_path / "a.flags").write_text("--momentum=0.5\n--drop_epochs=1,2\n")
    found = plans.common_flags(parsed([f"--flagfile={tmp_path}/a.flags", "--nomirror"]))
    assert sorted(found) == [
        "--drop_epochs=1.0,2.0",
        "--mirror=False",
        "--momentum=0.5",
    ]


def parsed(arguments):
    values = flags.FlagValues()
    options.define(train_options.TrainOptions, values)
    options.parse_flags(values, arguments)
    return values


@pytest.mark.parametrize(
    ("text", "found"), [("1/1", (1, 1)), ("2/4", (2, 4)), ("12/12", (12, 12))]
)
def test_a_part_is_a_number_of_a_number(text, found):
    assert plans.part_of(text) == found


@pytest.mark.parametrize("text", ["", "0/2", "3/2", "1", "1/0", "a/b", "1/2/3", "-1/2"])
def test_a_part_that_does_not_exist_is_refused(text):
    with pytest.raises(ValueError, match="as --part=1/4"):
        plans.part_of(text)


def test_the_differences_of_two_studies_name_both_values():
    before, now = ["--momentum=0.9", "--epochs=2"], ["--momentum=0.8"]
    assert list(plans.differing(before, now)) == [
        "it was begun with --epochs=2, and now it is no --epochs",
        "it was begun with --momentum=0.9, and now it is --momentum=0.8",
    ]
    assert not list(plans.differing(before, list(reversed(before))))
