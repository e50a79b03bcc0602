"""Lists the commands: python -m alexnet_tf"""

import sys

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


def main() -> None:
    """Prints the commands; status 1 if an argument was given that is not --help."""
    lines = [
        f"  python -m alexnet_tf.{name:15} {does}" for name, does in COMMANDS.items()
    ]
    text = "The commands; each explains its flags with --help:\n\n" + "\n".join(lines)
    asked = sys.argv[1:]
    if asked and asked[0] not in ("-h", "--help", "-help", "--helpshort"):
        print(
            f"alexnet_tf: there is no command {asked[0]!r} here. {text}",
            file=sys.stderr,
        )
        sys.exit(1)
    print(text)


if __name__ == "__main__":
    main()
