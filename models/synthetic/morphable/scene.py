"""A moment of a person in camera space: every vertex, normal and strand, and the truth of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.morphable.expressions import ASIDES
from auparity.models.synthetic.morphable.kernels import blend, keep_outside, normals_of
from auparity.models.synthetic.morphable.model_file import Part
from auparity.models.synthetic.morphable.person import HeadModel, Person, neck_share
from auparity.models.synthetic.morphable.props import Piece, eyeball, hand
from auparity.models.synthetic.morphable.skin import COLUMNS, OPEN
from auparity.models.synthetic.scene import Shot, rotation_matrix
from auparity.models.synthetic.surface import step

Array = npt.NDArray[Any]

CLOSED = 0.8  #: mm between the lips
LID = 0.6  #: mm of lid between eyeball and skin


@dataclass(frozen=True, eq=False)
class Moment:
    """What the rasteriser draws, in camera space."""

    vertices: Array  #: (V, 3) float32 mm
    triangles: Array  #: (T, 3) int32
    material: Array  #: (T,) int8
    table: Array  #: (V, 18) float32: normal, place, place at rest, skin columns
    strands: Array  #: (S, POINTS, 3) float32 mm
    face: Array  #: (V', 3) the model's vertices alone
    eye_turns: Array  #: (2, 3, 3)
    eyes: Array  #: (2, 3) centres of the eyeballs, mm
    parted: float  #: mm by which the lips are farther apart than at rest


def moment(head: HeadModel, person: Person, shot: Shot) -> Moment:
    """Pose everything."""
    asides = np.zeros(len(ASIDES)) if shot.asides is None else shot.asides
    strengths = head.expressions.strengths(shot.aus, asides, shot.gaze, person.lopsided)
    closed = np.clip(strengths[head.blinking], 0, 1)
    strengths[head.blinking] = (closed + person.droop * (1 - closed)) * person.blink
    chosen = np.flatnonzero(strengths > 1e-4)
    model, turn = head.model, rotation_matrix(shot.rotation)
    face = blend(person.neutral, model.expression, chosen, strengths[chosen].astype(np.float32))
    for lids, eye in zip(head.anatomy.lids, person.eyes, strict=True):
        keep_outside(face, lids, eye.astype(np.float32), np.float32(person.eye_radius + LID))
    hair = _strands(person, face)
    yaw, pitch = shot.gaze
    eye_turn = rotation_matrix(np.array([-pitch, yaw, 0.0]))
    pieces = [_eye(head, person, face, k, eye_turn) for k in range(2)] + list(person.pieces)
    if shot.hand:
        marks, tone = head.marks.points_68.points(face), person.table[head.marks.points_68.vertices[30, 0], :3]
        pieces += hand(marks, tone, np.random.default_rng([83, shot.hand]))
    solid = np.concatenate([face, *(piece.vertices for piece in pieces)])
    trunk = np.concatenate([head.neck, np.zeros(len(solid) - len(face)), np.ones(len(person.trunk.vertices))])
    placed = _placed(np.concatenate([solid, person.trunk.vertices]), trunk, shot, turn)
    pieces = [*pieces, person.trunk]
    triangles, material, starts = [model.triangles], [person.material], len(face)
    gap = head.marks.lip_gap(face)
    if gap < CLOSED:  # nobody sees teeth behind closed lips
        seen = model.part < Part.GUMS
        triangles, material = [model.triangles[seen]], [person.material[seen]]
    for piece in pieces:
        triangles.append((piece.triangles + starts).astype(np.int32))
        material.append(np.full(len(piece.triangles), piece.material, np.int8))
        starts += len(piece.vertices)
    joined = np.concatenate(triangles)
    table = np.empty((len(placed), 9 + COLUMNS), np.float32)
    table[:, :3] = normals_of(placed, joined)
    table[:, 3:6] = placed
    table[:, 6:9] = np.concatenate([head.model.neutral, *(piece.rest for piece in pieces)])
    table[:, 9:] = np.concatenate([person.table, *(piece.table for piece in pieces)])
    flat = hair.reshape(-1, 3)
    strands = _placed(flat, neck_share(flat), shot, turn).reshape(hair.shape)
    centres = person.eyes @ turn.T + shot.translation
    return Moment(
        placed, joined, np.concatenate(material), table, strands,
        placed[: len(face)].astype(np.float64), np.stack([turn @ eye_turn] * 2), centres,
        gap - head.marks.lip_gap(person.neutral),
    )  # fmt: skip


def _placed(points: Array, trunk: Array, shot: Shot, turn: Array) -> Array:
    """(n, 3) float32 in camera space; trunk: (n,) how much of a point turns with the trunk instead of the head."""
    head = points @ turn.T
    pivot = np.array([0, 60.0, 85.0])  # in the neck
    share = trunk[:, None]
    with_trunk = (points - pivot) @ rotation_matrix(shot.trunk).T + pivot @ turn.T
    return np.asarray(head + share * (with_trunk - head) + shot.translation, np.float32)


def _eye(head: HeadModel, person: Person, face: Array, side: int, turn: Array) -> Piece:
    """An eyeball, turned; how open it is to the light falls towards the upper lid."""
    ball = eyeball(person.eye_radius)
    vertices = ball.vertices @ turn.T + person.eyes[side]
    lids = head.marks.lids[side].points(face)
    across = np.argsort(lids[:7, 0])
    upper = np.interp(vertices[:, 0], lids[:7, 0][across], lids[:7, 1][across])
    corners = np.abs(vertices[:, 0] - lids[[0, 6], 0].mean()) / max(np.ptp(lids[[0, 6], 0]) / 2, 1e-6)
    table = ball.table.copy()
    table[:, OPEN] = np.clip(
        0.38 + 0.42 * step((vertices[:, 1] - upper + 0.5) / 5.0) - 0.25 * np.clip(corners - 0.55, 0, 1), 0.1, 1
    )
    return Piece(vertices, ball.triangles, ball.material, ball.rest, table)


def _strands(person: Person, face: Array) -> Array:
    """(S, POINTS, 3) in head coordinates: roots on the skin; lashes turn with it."""
    strands = person.strands
    roots = strands.roots
    now = face[roots.vertices]
    at = (now * roots.weights[..., None]).sum(axis=1)
    offsets = strands.offsets.copy()
    rows = np.flatnonzero(strands.follows)
    if len(rows):
        before = person.neutral[roots.vertices[rows]]
        old = np.cross(before[:, 1] - before[:, 0], before[:, 2] - before[:, 0])
        new = np.cross(now[rows, 1] - now[rows, 0], now[rows, 2] - now[rows, 0])
        offsets[rows] = _turned(offsets[rows], old, new)
    return np.asarray(at[:, None] + offsets)


def _turned(offsets: Array, old: Array, new: Array) -> Array:
    """Offsets (n, P, 3) turned by the smallest rotation that takes directions old (n, 3) to new (Rodrigues)."""
    a = old / np.maximum(np.linalg.norm(old, axis=1, keepdims=True), 1e-9)
    b = new / np.maximum(np.linalg.norm(new, axis=1, keepdims=True), 1e-9)
    axis, cosine = np.cross(a, b), np.clip((a * b).sum(axis=1), -0.99, 1)
    k = axis[:, None]
    return np.asarray(
        offsets * cosine[:, None, None] + np.cross(np.broadcast_to(k, offsets.shape), offsets)
        + k * (offsets * k).sum(axis=2, keepdims=True) / (1 + cosine)[:, None, None]
    )  # fmt: skip
