"""From archives and folders of images to prepared records, and from records to batches."""
