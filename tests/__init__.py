"""The tests, in the package's own folders; what they share is in `support`."""
