"""Peers: other programs that measure faces, run on the same frames as auparity and read into the same plain arrays.

`all_peers` lists them; `Peer.unavailable_reason` says in plain words why one cannot run here; `Peer.run` takes a
`Clip` and gives a `PeerRun`. None of them is a dependency of auparity: they are imported, or started, when they are
asked to run, and not before. ``auparity dev peers CLIP`` prints how fast they are and how far from auparity.
"""

from __future__ import annotations

from auparity.benchmarks.peers.openface_binary import OpenFaceBinary
from auparity.benchmarks.peers.peer import Clip, Peer, PeerRun, read_clip
from auparity.benchmarks.peers.peer_pyclnf import PyCLNF
from auparity.benchmarks.peers.peer_pyfaceau import PyFaceAU
from auparity.benchmarks.peers.peer_pymtcnn import PyMTCNN
from auparity.errors import ContractError

__all__ = [
    "Clip",
    "OpenFaceBinary",
    "Peer",
    "PeerRun",
    "PyCLNF",
    "PyFaceAU",
    "PyMTCNN",
    "all_peers",
    "named_peers",
    "read_clip",
]


def all_peers(landmark_model: str | None = None) -> list[Peer]:
    """Every peer that is known, whether or not it can run here.

    Parameters
    ----------
    landmark_model : stem of the landmark model that OpenFace shall use, e.g. "main_clnf_general"; None for its own
        default. The Python packages have CE-CLM and no other.
    """
    return [OpenFaceBinary(landmark_model), PyFaceAU(), PyCLNF(), PyMTCNN()]


def named_peers(names: str | None, landmark_model: str) -> list[Peer]:
    """The peers of a comma-separated list; all without one.

    Raises
    ------
    ContractError : one that is not known.
    """
    known = {peer.name.lower(): peer for peer in all_peers(landmark_model)}
    wanted = [name.strip().lower() for name in names.split(",")] if names else list(known)
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        raise ContractError("peers", "--peers", f"names among {', '.join(known)}", ", ".join(unknown))
    return [known[name] for name in wanted]
