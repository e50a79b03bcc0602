"""What every command needs, without TensorFlow: options, files, locks, progress, workers."""
