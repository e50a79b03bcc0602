"""The command `tables`."""

import pytest

from alexnet_tf import tables as command
from alexnet_tf.runtime import options
from tests.support import nets, runs


def test_what_has_no_errors_keeps_nothing_else_from_being_printed(tmp_path, capsys):
    bare = runs.write_untrained(tmp_path / "bare", nets.SMALL)
    (bare / "resolved.flags").write_text("")
    command.main(command.OPTIONS(), [str(bare)])  # it has only to be evaluated
    printed = capsys.readouterr()
    evaluation = f"python -m alexnet_tf.evaluate --checkpoint={bare}"
    (row,) = [line for line in printed.out.splitlines() if str(bare) in line]
    assert row.startswith(f"small ({bare}) ")
    assert evaluation in row
    assert printed.err == f"{bare} is not evaluated yet: {evaluation}\n"
    with pytest.raises(ValueError, match="nowhere does not exist") as raised:
        command.main(command.OPTIONS(), [str(tmp_path / "nowhere"), str(bare)])
    assert str(bare) not in str(raised.value)
    printed = capsys.readouterr().out
    assert "Table 2" in printed
    assert evaluation in printed


def test_without_arguments_every_row_of_the_paper_is_printed(capsys):
    chosen = options.replace(command.OPTIONS(), format="markdown")
    command.main(chosen, [])
    assert "37.5 / 17.0" in capsys.readouterr().out
