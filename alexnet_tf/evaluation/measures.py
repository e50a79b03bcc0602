"""What an evaluation measures, by the names in its results, and the file of them."""

FILE = "evaluation.json"  # in the run folder

METHODS = {"center_crop": "center crop", "ten_crop": "ten crops"}

# Of each method, in percent and in nats.
MEASURES = {
    "top1_error": "top-1 error, %",
    "top5_error": "top-5 error, %",
    "loss": "loss",
}
