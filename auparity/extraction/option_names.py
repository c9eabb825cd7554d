"""What the program that the user called calls the ways out of a refusal: `auparity extract` and OpenFace's programs by
name (`auparity openface`) go through the same code and have different options.

Messages of folders below (`media`, `models`), which know nothing of programs, name a whole command where they name an
option.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OptionNames:
    """The options of one program."""

    folder: str = "-o"  #: the output folder
    name: str = "--output-name"  #: names of tables
    overwrite: str | None = "--overwrite"  #: replaces what is there; None for a program that always does

    @property
    def another_folder(self) -> str:
        return f"another folder ({self.folder})"

    def replace_or(self, otherwise: str) -> str:
        """The sentence that offers to replace what is there, `otherwise` being the other way out."""
        if self.overwrite is None:
            return f"Use {otherwise}."
        return f"Use {self.overwrite} to replace it, or {otherwise}."


EXTRACT = OptionNames()
OPENFACE = OptionNames("-out_dir", "-of", None)
