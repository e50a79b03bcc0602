"""An exported SavedModel holds its weights once, and the names of its classes."""

from alexnet_tf.models import trained
from alexnet_tf.serving import saved_model


def test_the_weights_are_stored_once(exported, trained_run):
    parameters = trained.restore(trained_run).model.count_params()
    size = sum(f.stat().st_size for f in (exported / "variables").iterdir())
    assert 4 * parameters <= size < 1.02 * 4 * parameters + 4096


def test_the_class_names_are_in_the_export(exported):
    labels = (exported / "assets" / saved_model.LABELS).read_text().split()
    assert labels == ["class0", "class1", "class2"]
