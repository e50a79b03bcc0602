"""Training: the step, the update rule, the schedule, checkpoints, the log, replicas."""
