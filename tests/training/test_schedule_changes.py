"""The changes of a schedule are read as they were written, or refused by their line."""

import json

import pytest

from alexnet_tf.runtime import options
from alexnet_tf.training import schedule_changes, train_options

DEFAULTS = train_options.TrainOptions()
BEGAN = schedule_changes.Stage(0, schedule_changes.texts_of(DEFAULTS))


def later(step, **texts):
    return schedule_changes.Stage(step, {**BEGAN.texts, **texts})


def lines(*changes):
    return "".join(
        json.dumps(dict(zip(("step", "option", "old", "new"), c, strict=True))) + "\n"
        for c in changes
    )


def test_options_are_written_as_flags_and_read_back():
    changed = options.replace(
        DEFAULTS,
        **{"learning_rate": 1e-30, "drop_epochs": (), "bias_drop_epochs": (1.5, 2.0)},
        conv1_drop_epoch=3.0,
    )
    texts = schedule_changes.texts_of(changed)
    assert texts["bias_drop_epochs"] == "1.5,2.0"
    assert texts["conv1_freeze_epoch"] == "inf"
    assert schedule_changes.with_texts(DEFAULTS, texts) == changed
    assert schedule_changes.with_texts(changed, BEGAN.texts) == DEFAULTS


@pytest.mark.parametrize("last", [BEGAN.texts, {"learning_rate": "3.0"}])
def test_stages_are_read_as_they_were_written(tmp_path, last):
    """Also if the record of the options is older than the last change."""
    written = [
        BEGAN,
        later(0, learning_rate="2.0"),
        later(7, learning_rate="3.0", schedule="plateau"),
        later(9, learning_rate="3.0", bias_drop_epochs="1.0", drop_epochs=""),
    ]
    schedule_changes.write(tmp_path, written)
    recorded = schedule_changes.with_texts(DEFAULTS, {**written[-1].texts, **last})
    assert schedule_changes.read(tmp_path, recorded) == written
    schedule_changes.write(tmp_path, [BEGAN])
    assert not (tmp_path / schedule_changes.FILE).exists()
    assert schedule_changes.read(tmp_path, DEFAULTS) == [BEGAN]


GOOD = (7, "learning_rate", "0.01", "0.02")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (lines(GOOD)[:-9], r"changes\.jsonl is damaged"),
        ("[]\n", r"changes\.jsonl is damaged"),
        ('{"step": 7}\n', r"changes\.jsonl is damaged"),
        (lines(("7", *GOOD[1:])), "'7' is not the number of a step"),
        (lines((-7, *GOOD[1:])), "-7 is not the number of a step"),
        (lines((7, "seed", "0", "1")), "'seed' is not an option of the schedule"),
        (lines((7, "learning_rate", "0.01", "fast")), "learning_rate"),
        (lines((7, "learning_rate", "0.01", "-1")), "must be at least 0"),
        (lines(GOOD, (9, "learning_rate", "0.5", "0.1")), "at step 9 .* was 0.02 and"),
        (
            lines(GOOD, (5, "learning_rate", "0.02", "0.1")),
            "step 5 comes after step 7",
        ),
    ],
)
def test_damaged_changes_are_refused(tmp_path, text, words):
    (tmp_path / schedule_changes.FILE).write_text(text)
    with pytest.raises(ValueError, match=words) as caught:
        schedule_changes.read(tmp_path, DEFAULTS)
    assert "restore it, or choose another --run_dir" in str(caught.value)
    assert "\n" not in str(caught.value)
