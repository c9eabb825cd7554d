"""Peers: other programs that measure faces, run on the same frames as auparity and read into the same plain arrays.

`all_peers` lists them; `Peer.unavailable_reason` says why a peer cannot run here; `Peer.run` takes a `Clip` and returns
a `PeerRun`. Peers are not dependencies of auparity: they are imported or started only when they run. ``auparity dev
peers CLIP`` prints how fast they are and how far their results are from auparity's.
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
    """All known peers, whether or not they can run here.

    Parameters
    ----------
    landmark_model : stem of the landmark model that OpenFace uses, e.g. "main_clnf_general"; None for its own
        default. The Python packages have only CE-CLM.
    """
    return [OpenFaceBinary(landmark_model), PyFaceAU(), PyCLNF(), PyMTCNN()]


def named_peers(names: str | None, landmark_model: str) -> list[Peer]:
    """The peers of a comma-separated list; all peers without a list.

    Raises
    ------
    ContractError : a name is unknown.
    """
    peers = {peer.name.lower(): peer for peer in all_peers(landmark_model)}
    wanted = [name.strip().lower() for name in names.split(",")] if names else list(peers)
    unknown = sorted(set(wanted) - set(peers))
    if unknown:
        raise ContractError("peers", "--peers", f"names among {', '.join(peers)}", ", ".join(unknown))
    return [peers[name] for name in wanted]
