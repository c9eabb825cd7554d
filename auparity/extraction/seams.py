"""What is said of a clip that was tracked in parts: in its sidecar, in its warnings and in the line that users read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from auparity.accelerated.parallel.parts import COMPARED, Seam

if TYPE_CHECKING:
    from auparity.accelerated.parallel.chunks import ClipInParts

#: Mean over the landmarks in px up to which two parts have the same face. The reference differs from itself by up to
#: 0.017 px on recorded clips (spec 90.10) over many frames; three times that for the few before a seam.
SEAM_LIMIT = 0.05
#: Frames that a warning names.
SHOWN = 10


def split_facts(cut: ClipInParts) -> dict[str, Any]:
    """The field `split` of the sidecar; frames as the table counts them."""
    return {
        "split": {
            "parts": len(cut.seams) + 1,
            "warm_up": cut.warm_up,
            "seams": [
                {
                    "frame": seam.frame + 1,
                    "landmarks_px": None if seam.mean is None else {"largest": seam.largest, "mean": seam.mean},
                    "disagreements": seam.disagreements,
                }
                for seam in cut.seams
            ],
        }
    }


def seam_notes(cut: ClipInParts) -> list[str]:
    """Warnings: the seams at which the parts do not have the same face, and what else there is to know."""
    found_otherwise = [seam for seam in cut.seams if seam.disagreements]
    apart = [s for s in cut.seams if not s.disagreements and s.mean is not None and s.mean > SEAM_LIMIT]
    faceless = [s for s in cut.seams if not s.disagreements and s.mean is None] if cut.warm_up else []
    notes = list(cut.notes)
    if found_otherwise:
        notes.append(
            f"parts meet at {_frames(found_otherwise)}, and in some of the {COMPARED} frames before that only one of "
            "two sees a face: it was found at another time than in one piece"
        )
    if apart:
        largest = max(seam.mean or 0.0 for seam in apart)
        notes.append(
            f"parts meet at {_frames(apart)}, and their landmarks are up to {largest:.3f} px apart there (more than "
            f"{SEAM_LIMIT} px): they follow different faces, or have not come to the same place yet"
        )
    if faceless:
        notes.append(
            f"parts meet at {_frames(faceless)}, where no face is seen: one that comes later may be found some frames "
            "earlier or later than in one piece"
        )
    return notes


def split_summary(cut: ClipInParts) -> str:
    """How the parts fit together; empty for a clip that ended before the first seam."""
    if not cut.seams:
        return "in one part" if len(cut.parts) == 1 else ""
    means = [seam.mean for seam in cut.seams if seam.mean is not None]
    largest = [seam.largest for seam in cut.seams if seam.largest is not None]
    apart = (
        f"landmarks at the seams {sum(means) / len(means):.4f} px apart, the farthest {max(largest):.3f} px"
        if means
        else "no face at the seams"
    )
    return f"{len(cut.seams) + 1} parts, {apart}"


def _frames(seams: list[Seam]) -> str:
    """Their frames as the table counts them."""
    numbers = [str(seam.frame + 1) for seam in seams]
    shown = ", ".join(numbers[:SHOWN]) + (f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else "")
    return f"frame {shown}" if len(numbers) == 1 else f"frames {shown}"
