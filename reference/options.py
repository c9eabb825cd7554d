"""What a pipeline may be told besides its models: one object, the same for every implementation."""

from __future__ import annotations

from dataclasses import dataclass

from auparity.reference.landmarks import DetectorParameters
from auparity.reference.tracking import REINIT_EVERY


@dataclass(frozen=True)
class PipelineOptions:
    """How a pipeline works; `PipelineOptions()` is as OpenFace's command-line programs do.

    Parameters
    ----------
    landmarks : settings of the constrained local models; None for those of the programs, which depend on the model.
    multi_view : faces of single images are fitted from eleven head orientations, or from the frontal one alone; clips
        always take eleven where they look for a face (spec 50.10). OpenFace's FaceLandmarkImg takes one unless its
        option -multi_view or -wild says otherwise. Eleven is our default because it was measured to be better
        (docs/fidelity.md).
    reinit_every : frames between attempts to find a lost face again.
    static_aus : the AUs of clips are those of the static models, as with OpenFace's option -au_static: without running
        medians, without re-prediction and calibration at the end, but smoothed (spec 60.7). Pipelines on a GPU refuse
        it.
    device : None for the fastest of what is there; "cpu" for the processor alone; "cuda" for the pipeline that stays on
        the GPU, also where the parity suite has not passed on it yet (docs/gpu.md); "mps", "coreml" or "directml" for
        the float32 variants that compute there, which some stages have; the other stages then run on the processor.
    streams : clips that will be open together, where that matters: more than one share out all GPUs.
    """

    landmarks: DetectorParameters | None = None
    multi_view: bool = True
    reinit_every: int = REINIT_EVERY
    static_aus: bool = False
    device: str | None = None
    streams: int = 1
