"""Templates, styles and words of the page of result files, which are files of `reports/results/web`."""

from __future__ import annotations

from auparity.reports.page_templates import Templates

_TEMPLATES = Templates("auparity.reports.results")
rendered, web_file = _TEMPLATES.rendered, _TEMPLATES.file
