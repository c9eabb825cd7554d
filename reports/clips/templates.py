"""Templates, styles and scripts of the pages of clips and images, which are files of `reports/clips/web`.

Scripts are inside the page; `vendor` holds uPlot, which draws the charts, as its authors publish it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from auparity.reports.page_templates import Templates, unescaped

_TEMPLATES = Templates("auparity.reports.clips")
rendered, web_file = _TEMPLATES.rendered, _TEMPLATES.file


def scripts(names: Sequence[str]) -> Any:
    """Scripts of `reports/clips/web`, one after the other."""
    return unescaped("\n".join(web_file(name) for name in names))


def json_inside(document: object) -> Any:
    """JSON that may stand in a script element, whatever its strings hold."""
    return unescaped(json.dumps(document, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"))
