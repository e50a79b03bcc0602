"""Published weights, from the files of other frameworks into run folders of our own.

One file per idea, in this order: what a file holds (`source`, and one reader per
format), which net it is (`published`, `recognition`), how its tensors become ours
(`mapping`), what else a net needs (`means`, `class_files`), the run folder that is
written (`imported_run`), and the comparison with the file's own framework
(`source_check`).
"""
