"""The recipe and the loop: step, update, schedule, checkpoints, log, replicas."""
