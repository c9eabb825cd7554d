"""Mutators that damage a file: blind ones for any bytes, and ones for JSON, zip archives and lines of text.

A mutator takes the bytes of an intact file and a source of randomness and returns other bytes. `mutate` applies one to
three of those that fit the kind of file.
"""

from __future__ import annotations

import io
import json
import random
import re
import struct
import warnings
import zipfile
from collections.abc import Callable
from typing import Any, Literal

Kind = Literal["bytes", "text", "json", "zip"]
Mutator = Callable[[bytes, random.Random], bytes]

#: Integers that break sizes, offsets and counts.
ABSURD = (
    0,
    1,
    -1,
    2,
    3,
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    10**6,
    2**31 - 1,
    -(2**31),
    2**32 - 1,
    2**63 - 1,
    -(2**63),
)
#: Replacements for a JSON value.
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 2**53, 2**63, 2**70, 10**30, -0.0, 1e-320, 1e300, "", "x", "\0", "a\nb", "\ud800",
    "../..", "/", "x" * 5000, [], {}, [[]], [None], {"a": {}}, {"": 0}, float("nan"), float("inf"),
)  # fmt: skip
#: Pieces of JSON that no encoder writes.
RAW_JSON = (
    b"1e999",
    b"-1e999",
    b"NaN",
    b"9" * 400,
    b"[" * 5000,
    b'{"a":' * 2000,
    b'"\\ud800"',
    b"\xff",
    b'{"a":1,"a":2}',
    b"01",
)
#: Words of text formats.
WORDS = (
    b"",
    b"nan",
    b"inf",
    b"-",
    b"1e999",
    b"1e-999",
    b"99999999999",
    b"-1",
    b"0x1",
    b"1_0",
    b"\xff",
    b"\0",
    b"#",
    b'"',
    b"9" * 5000,
)


def mutate(data: bytes, kind: Kind, source: random.Random) -> bytes:
    """The file damaged in one to three ways."""
    mutators = [*BLIND, *SPECIAL[kind] * 3]
    for _ in range(source.choice((1, 1, 1, 2, 3))):
        data = source.choice(mutators)(data, source)
    return data


def flip_bits(data: bytes, source: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(source.choice((1, 1, 2, 8, 64))):
        if changed:
            changed[source.randrange(len(changed))] ^= 1 << source.randrange(8)
    return bytes(changed)


def set_bytes(data: bytes, source: random.Random) -> bytes:
    """A run of one byte, or of random ones."""
    start, length = source.randint(0, len(data)), source.choice((1, 4, 16, 512))
    piece = source.choice((b"\0" * length, b"\xff" * length, source.randbytes(length)))
    return data[:start] + piece + data[start + length :]


def truncate(data: bytes, source: random.Random) -> bytes:
    return data[: source.randint(0, len(data))]


def splice(data: bytes, source: random.Random) -> bytes:
    """A piece cut out, doubled or moved."""
    a, b = sorted(source.randint(0, len(data)) for _ in range(2))
    to = source.randint(0, len(data))
    return source.choice((data[:a] + data[b:], data[:b] + data[a:], data[:to] + data[a:b] + data[to:]))


def set_integer(data: bytes, source: random.Random) -> bytes:
    """An impossible length, count or offset, at the front more often than elsewhere."""
    form = source.choice(("<H", "<I", "<I", "<Q", ">H", ">I"))
    size = struct.calcsize(form)
    if len(data) < size:
        return data
    last = len(data) - size
    place = source.randint(0, source.choice((min(64, last), last)))
    value = (source.choice(ABSURD) + source.choice((0, 0, -1, 1))) % 2 ** (8 * size)
    return data[:place] + struct.pack(form, value) + data[place + size :]


def change_word(data: bytes, source: random.Random) -> bytes:
    """A number or word of a text file becomes another one."""
    words = list(re.finditer(rb"[^\s,]+", data))
    if not words:
        return data
    word = source.choice(words)
    return data[: word.start()] + source.choice(WORDS) + data[word.end() :]


def change_lines(data: bytes, source: random.Random) -> bytes:
    lines = data.split(b"\n")
    a, b = source.randrange(len(lines)), source.randrange(len(lines))
    action = source.randrange(4)
    if action == 0:
        del lines[a]
    elif action == 1:
        lines.insert(b, lines[a])
    elif action == 2:
        lines[a], lines[b] = lines[b], lines[a]
    else:
        lines[a] = lines[a][: source.randint(0, len(lines[a]))]
    return b"\n".join(lines)


def change_json(data: bytes, source: random.Random) -> bytes:
    """One value of a JSON document replaced, removed, doubled or renamed."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return flip_bits(data, source)
    holder = [document]
    places: list[tuple[Any, Any]] = [(holder, 0)]
    _collect(document, places)
    node, key = source.choice(places)
    action = source.randrange(5)
    if action == 0 and node is not holder:
        del node[key]
    elif action == 1 and isinstance(node, dict):
        node[source.choice(("", "x", "\0", "__class__", str(key) + "x"))] = node.pop(key)
    elif action == 2 and isinstance(node[key], list) and node[key]:
        node[key] = node[key] * source.choice((2, 50))
    elif action == 3:
        node[key] = source.choice((node[key], [node[key]], {"a": node[key]}, str(node[key])[:100]))
    else:
        node[key] = source.choice(VALUES)
    return json.dumps(holder[0]).encode("utf-8", "replace")


def _collect(value: Any, places: list[tuple[Any, Any]]) -> None:
    """Every (container, key) below a value."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            places.append((value, key))
            _collect(value[key], places)


def raw_json(data: bytes, source: random.Random) -> bytes:
    """A number, word or string becomes something that is not, or hardly, JSON."""
    tokens = list(re.finditer(rb'"(?:[^"\\]|\\.)*"|[-+.\w]+', data))
    if not tokens:
        return data
    token = source.choice(tokens)
    return data[: token.start()] + source.choice(RAW_JSON) + data[token.end() :]


def change_member(data: bytes, source: random.Random) -> bytes:
    """One member of a zip archive damaged inside, so that the checksums hold."""
    members = _members(data)
    if not members:
        return flip_bits(data, source)
    name = source.choice(sorted(members))
    kinds: tuple[Mutator, ...] = (change_json, raw_json) if name.endswith(".json") else BLIND
    members[name] = source.choice(kinds)(members[name], source)
    return _packed(members, zipfile.ZIP_DEFLATED)


def change_archive(data: bytes, source: random.Random) -> bytes:
    """Members removed, doubled, renamed, or compressed in another way."""
    members = _members(data)
    if not members:
        return flip_bits(data, source)
    name = source.choice(sorted(members))
    action = source.randrange(5)
    if action == 0:
        del members[name]
    elif action == 1:
        members[source.choice(("/", "../x", "x" * 300, "a/b", name.upper()))] = members.pop(name)
    elif action == 2:
        members[name] = b"\0" * source.choice((0, 3, 10**5, 3 * 10**7))
    elif action == 3:
        return _packed(members, source.choice((zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)))
    else:
        return _packed(members, zipfile.ZIP_DEFLATED, twice=name)
    return _packed(members, zipfile.ZIP_DEFLATED)


def _members(data: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {entry.filename: archive.read(entry) for entry in archive.infolist() if entry.file_size < 10**7}
    except Exception:  # an archive that an earlier mutator damaged
        return {}


def _packed(members: dict[str, bytes], method: int, twice: str | None = None) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", method, compresslevel=1) as archive:
        warnings.simplefilter("ignore")  # about a name that occurs twice
        for name, content in members.items():
            archive.writestr(name, content)
        if twice is not None:
            archive.writestr(twice, b"")
    return stream.getvalue()


BLIND: tuple[Mutator, ...] = (flip_bits, set_bytes, truncate, splice, set_integer)
SPECIAL: dict[Kind, tuple[Mutator, ...]] = {
    "bytes": (),
    "text": (change_word, change_lines),
    "json": (change_json, change_json, raw_json),
    "zip": (change_member, change_member, change_archive),
}
