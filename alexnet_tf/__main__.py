"""Lists the commands, or runs one: python -m alexnet_tf. Installed, this is `alexnet`."""

import importlib
import os
import runpy
import sys

import alexnet_tf

# Every command, and what it does in one line.
COMMANDS = {
    "prepare": "turns a folder, an archive or a TFDS dataset into prepared records",
    "train": "trains a net on a prepared dataset, or resumes a run",
    "import_weights": "makes a run folder of published weights: Caffe, torch, ONNX, NumPy",
    "study": "trains all combinations of some options with several seeds, and compares",
    "tables": "prints the tables and ablations of the paper, with our numbers beside them",
    "evaluate": "measures the errors of a trained net with the center crop and ten crops",
    "features": "writes the outputs of any layer of a trained net for many images",
    "figures": "draws a net, its kernels, its curves and its answers",
    "report": "writes one page about a run, with its figures and a model card",
    "check_gradients": "compares the gradients of a net with numerical ones, by layer",
    "export": "writes a trained net as SavedModel, Keras, TFLite or ONNX, or checks one",
    "predict": "classifies images with an export, or with a server",
}


_HELP = ("-h", "--help", "-help", "--helpshort", "help")
_VERSION = ("--version", "version")


def main() -> None:
    """Runs the command that the first argument names, or lists all of them.

    `alexnet train ...` is `python -m alexnet_tf.train ...`, `alexnet help train` is
    `alexnet train --help`, and `alexnet --version` prints the version. The status is 1
    if the first argument is nothing of these.
    """
    if "_ARGCOMPLETE" in os.environ:
        _complete(os.environ["COMP_LINE"])
    asked = sys.argv[1:]
    if asked[:1] == ["help"] and asked[1:2] and asked[1] in COMMANDS:
        asked = sys.argv[1:] = [asked[1], "--help"]
    if asked and asked[0] in COMMANDS:
        del sys.argv[1]
        runpy.run_module(f"alexnet_tf.{asked[0]}", run_name="__main__", alter_sys=True)
        return
    if asked and asked[0] in _VERSION:
        print(f"alexnet_tf {alexnet_tf.__version__}")
        return
    # As the user called this module: the script, or Python with -m.
    typed = os.path.basename(sys.argv[0])
    before = "python -m alexnet_tf." if typed in ("__main__.py", "-c") else f"{typed} "
    lines = [f"  {before}{name:15} {does}" for name, does in COMMANDS.items()]
    text = "The commands; each explains its flags with --help:\n\n" + "\n".join(lines)
    if asked and asked[0] not in _HELP:
        from alexnet_tf.runtime import suggestions

        hint = suggestions.did_you_mean(asked[0], COMMANDS)
        print(
            f"alexnet_tf: there is no command {asked[0]!r} here{hint or '.'} {text}",
            file=sys.stderr,
        )
        sys.exit(1)
    print(text)


def _complete(line: str) -> None:
    """Answers a shell that asks how a line can go on, and ends the process."""
    from alexnet_tf.runtime import completion

    # Only the modules of the command that is being typed: importing all takes longer.
    typed = [name for name in COMMANDS if name in line.split()]
    kinds = {
        name: [
            importlib.import_module(f"alexnet_tf.{module}").OPTIONS
            for module in ([name, "train"] if name == "study" else [name])
        ]
        for name in typed
    }
    completion.answer(COMMANDS, kinds)


if __name__ == "__main__":
    main()
