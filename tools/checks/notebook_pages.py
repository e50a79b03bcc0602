"""A hook of MkDocs: each notebook becomes a page of the site, with its stored outputs.

Pages and notebooks link to notebooks by their own names, as on a forge; here these links
lead to the pages.
"""

import pathlib
import re

import nbconvert
from mkdocs.structure.files import File, Files


def on_files(files: Files, config) -> Files:
    """Replaces every notebook by a page of Markdown and its figures."""
    for file in [each for each in files if each.src_uri.endswith(".ipynb")]:
        place = pathlib.PurePosixPath(file.src_uri)
        text, resources = nbconvert.MarkdownExporter().from_filename(
            file.abs_src_path, resources={"output_files_dir": f"{place.stem}_files"}
        )
        text = text.replace("![png](", "![What the code above draws](")
        files.remove(file)
        page = str(place.with_suffix(".md"))
        files.append(File.generated(config, page, content=text))
        for name, picture in resources["outputs"].items():
            path = str(place.parent / name)
            files.append(File.generated(config, path, content=picture))
    return files


def on_page_markdown(markdown: str, **_) -> str:
    """Leads links to notebooks to their pages."""
    return re.sub(r"(\]\([^):]*)\.ipynb\)", r"\1.md)", markdown)
