"""Turns archives and folders of images into prepared records, and those into batches."""
