"""What a pipeline does unless it is told otherwise."""

from __future__ import annotations

from auparity.reference.options import PipelineOptions


def test_without_options_a_pipeline_works_as_openfaces_programs_and_looks_in_all_directions():
    options = PipelineOptions()
    assert options.landmarks is None  # those of the programs, which depend on the model
    assert options.multi_view is True
    assert options.reinit_every == 2
    assert (options.device, options.streams) == (None, 1)
