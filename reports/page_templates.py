"""Pages from Jinja2 templates: HTML is escaped, characters that HTML forbids become question marks.

Each kind of page keeps its templates, styles and scripts in a folder `web` of its package.
"""

from __future__ import annotations

from functools import cached_property
from importlib import resources
from typing import Any


class Templates:
    """The templates in the folder `web` of a package."""

    def __init__(self, package: str) -> None:
        self._package = package

    def rendered(self, template: str, **values: Any) -> str:
        """A template with these values."""
        return str(self._environment.get_template(template).render(**values))

    def file(self, name: str) -> str:
        """The text of a file of the folder."""
        return resources.files(self._package).joinpath("web", *name.split("/")).read_text(encoding="utf-8")

    @cached_property
    def _environment(self) -> Any:
        import jinja2

        return jinja2.Environment(
            loader=jinja2.FunctionLoader(self.file), autoescape=True, trim_blocks=True,
            undefined=jinja2.StrictUndefined, finalize=_allowed, keep_trailing_newline=True,
        )  # fmt: skip


def unescaped(text: str) -> Any:
    """Text of ours that is markup."""
    from markupsafe import Markup

    return Markup(text)


def _allowed(value: Any) -> Any:
    """Text without characters that HTML forbids."""
    from markupsafe import Markup

    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "".join(letter if letter.isprintable() or letter in "\n\t\N{NO-BREAK SPACE}" else "?" for letter in value)
