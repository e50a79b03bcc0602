"""Many trainings that are compared: which ones, running them, and what they show."""
