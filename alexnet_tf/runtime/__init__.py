"""Options, files, locks, progress and worker processes, without TensorFlow."""
