"""A hook of mkdocs: nothing on the site is asked of another server.

The theme's plugin for reading without a server takes one script from a public one, which lets the search run where
browsers start no workers, on pages that are files. Ours does that.
"""

from __future__ import annotations

import re
from typing import Any

from mkdocs.utils import get_relative_url

_ELSEWHERE = re.compile(r"https://unpkg\.com/iframe-worker/shim")


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Return a page that takes the script from here."""
    return _ELSEWHERE.sub(get_relative_url("worker.js", page.url), output)


def on_post_template(output_content: str, **_: Any) -> str:
    """Return a page that is none of ours, such as that for what is not found, likewise."""
    return _ELSEWHERE.sub("/worker.js", output_content)
