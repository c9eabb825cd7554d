"""What an editable install puts on the search path: auparity from the folders of the repository, and nothing else.

Were the repository's root on the path, generic names (`models`, `reference`) would be importable beside `auparity`. A
wheel does not hold this file.
"""

from pathlib import Path

_package = Path(__file__).resolve().parents[2] / "auparity"
__path__ = [str(_package)]
__file__ = str(_package / "__init__.py")
exec(compile(Path(__file__).read_text(encoding="utf-8"), __file__, "exec"))
