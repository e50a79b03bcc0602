"""An export's answers are compared with those of its checkpoint."""

import shutil

import pytest

from alexnet_tf.models import trained
from alexnet_tf.serving import export_verification, preflight, saved_model


def test_an_export_with_other_weights_than_its_checkpoint_is_rejected(
    exported, tmp_path, trained_run
):
    """All its requests run, but the answers are those of another net."""
    restored = trained.restore(trained_run, stock=True)
    kernel = restored.model.get_layer("fc10").kernel
    kernel.assign(kernel * 0)
    path = tmp_path / "1"
    saved_model.save_model(
        restored.model,
        path,
        architecture=restored.architecture,
        classes=restored.trained.class_names,
        top=5,
        crops=1,
    )
    shutil.copy(saved_model.origin_file(exported), saved_model.origin_file(path))
    with pytest.raises(preflight.CheckError, match="differs from the checkpoint's by"):
        export_verification.verify_export(path)
