"""The argument parser of the command line: argparse's, which also says what a mistyped word may have meant."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

#: How alike two words must be, from 0 to 1 (`difflib.SequenceMatcher.ratio`): one letter wrong in five.
ALIKE = 0.6


def closest(word: str, names: Iterable[str]) -> str | None:
    """The name that is most like a word, upper and lower case alike; None if none is alike."""
    import difflib  # only where something was mistyped

    by_lower = {name.lower(): name for name in names}
    matches = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=ALIKE)
    return by_lower[matches[0]] if matches else None


class Parser(argparse.ArgumentParser):
    """argparse's parser, whose errors about unknown commands, choices and options suggest the closest name.

    A command refuses the options that it does not have itself, with its own usage; argparse would let the outermost
    parser refuse them, whose usage names no options.
    """

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As argparse's, but nothing stays unknown: words that this parser does not know end the program."""
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.refuse(unknown)
        return namespace, unknown

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """End the program (exit status 2) because of words that are no arguments of this parser."""
        names = [name for action in self._actions for name in action.option_strings if name.startswith("--")]
        pairs = [(word, closest(word.partition("=")[0], names)) for word in unknown if word.startswith("-")]
        advice = [f"did you mean {name} in place of {word.partition('=')[0]}?" for word, name in pairs if name]
        self.error("; ".join([f"unrecognized arguments: {' '.join(unknown)}", *advice]))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            name = closest(str(value), map(str, action.choices or ()))
            if name is None or (sys.version_info >= (3, 14) and self.suggest_on_error):
                raise
            raise argparse.ArgumentError(action, f"{error.message}; did you mean {name!r}?") from None
