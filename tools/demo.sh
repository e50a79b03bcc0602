#!/usr/bin/env bash
# Runs the commands on the embedded images: prepare, train, evaluate, export, check,
# predict and report. If it was interrupted, running it again continues where it
# stopped. RUN=... and DATA=... name other folders.
set -euo pipefail
cd "$(dirname "$0")/.."
RUN="${RUN:-runs/demo}"
DATA="${DATA:-data}"

step() { printf '== %s (%d s)\n' "$1" "$SECONDS"; }

step "Preparing the embedded images in $DATA/garments-256"
if [[ ! -d "$DATA/garments-256" ]]; then
  python -m alexnet_tf.prepare --source=garments --data_dir="$DATA" \
    --output="$DATA/garments-256"
fi

step "Training AlexNet's two towers with the 2012 program's recipe in $RUN"
python -m alexnet_tf.train --data_dir="$DATA" --run_dir="$RUN" --resume

step "Evaluating on the test images"
python -m alexnet_tf.evaluate --checkpoint="$RUN"

step "Exporting a SavedModel"
python -m alexnet_tf.export --checkpoint="$RUN" --output="$RUN/export"

step "Checking that a stock server can run it and answers as the checkpoint does"
python -m alexnet_tf.export --check="$RUN/export"

step "Classifying five images that are in neither split"
python -m alexnet_tf.predict --model="$RUN/export" --top=2 tools/pictures/*.png

step "Writing a page about the run"
python -m alexnet_tf.report "$RUN" --output="$RUN/report.html" \
  --query_count=100 --search_count=500

step "Done"
cat <<END
  a page to open in a browser        $RUN/report.html
  the run, its log and checkpoints   $RUN
  errors, center crop and ten crops  $RUN/evaluation.json
  the exported model, by version     $RUN/export
  curves                             tensorboard --logdir $RUN
END
