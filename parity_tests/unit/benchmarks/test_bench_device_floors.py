"""What the GPU benchmark counts: floors from shapes, launches and bytes, and what a device can do at best."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from auparity.accelerated.cupy.grayscale import to_gray
from auparity.benchmarks.device import floors
from auparity.benchmarks.device import rates as rates_module
from auparity.benchmarks.device.floors import Work
from auparity.benchmarks.device.rates import Rates, gpu_facts, held_mib, measure_rates, refuse_tf32
from auparity.benchmarks.device.watch import WatchedDevice
from auparity.errors import AuparityError
from auparity.models.bundle import Bundle
from auparity.models.types import PDM, CCNFExperts, CCNFPatch, ConvNet, Convolution, FullyConnected, MaxPool
from auparity.parity_tests.cuda_on_host import host_device

RATES = Rates(1000.0, 100.0, 10.0, 20.0, 5.0, 4.0)


@pytest.fixture(scope="module")
def device():
    return host_device(both_orders=False, strict=True)


def test_a_watched_device_counts_launches_calls_and_bytes(device):
    watched = WatchedDevice(device, RATES)
    image = np.arange(2 * 4 * 8 * 3, dtype=np.uint8).reshape(2, 4, 8, 3)

    def stage(given):
        return watched.download(watched.xp.concatenate([to_gray(watched, watched.upload(given))] * 2))

    found = watched.timed("outer", stage)(image)
    watched.settle()
    counts, times = watched.figures.counts, watched.figures.times
    assert found.shape == (4, 4, 8)
    assert (counts["grayscale"].launches, counts["outer"].launches) == (1, 0)
    assert counts["outer"].array_calls == 1
    assert (counts["upload"].up, counts["download"].down) == (image.nbytes, found.nbytes)
    assert dict(times.calls) == {"outer": 1, "grayscale": 1, "upload": 1, "download": 1}
    assert watched.figures.least["upload"] == pytest.approx(image.nbytes / 10e9)
    assert watched.figures.least["grayscale"] == pytest.approx(4 * 2 * 4 * 8 / 100e9)
    watched.reset()
    assert not watched.figures.times.calls


def test_the_floor_is_the_slowest_of_arithmetic_and_every_way():
    assert RATES.seconds(Work(flop=5e12)) == 5.0
    assert RATES.seconds(Work(flop=5e12, moved=1e12, up=2e10, down=1e10)) == 10.0
    assert Work(1, 2, 3, 4) + Work(1, 1, 1, 1).times(2) == Work(3, 4, 5, 6)


def test_networks_count_products_maps_and_weights():
    rng = np.random.default_rng(0)

    def filled(*shape):
        return rng.normal(size=shape).astype(np.float32)

    convolution = Convolution(filled(4, 3, 3, 3), filled(4))
    whole = ConvNet((convolution, MaxPool((2, 2), (2, 2)), FullyConnected(filled(4 * 4 * 4, 7), filled(7))))
    found = floors.network(whole, 3, [(10, 10)], 5)
    assert found.flop == 5 * 2 * (4 * 3 * 9 * 64 + 64 * 7)
    assert found.moved == 4 * (5 * (300 + 7) + 4 * 3 * 9 + 64 * 7)
    per_pixel = ConvNet((convolution, FullyConnected(filled(4, 2), filled(2))))
    found = floors.network(per_pixel, 3, [(10, 10), (4, 5)], 2)
    positions = 64 + 6
    assert found.flop == 2 * positions * 2 * (4 * 3 * 9 + 4 * 2)
    assert found.moved == 4 * (2 * (300 + 60 + 2 * positions) + 4 * 3 * 9 + 8)


def test_cen_experts_count_by_the_views_of_the_faces():
    model = Bundle.embedded(networks=False).face.main
    experts = model.experts[1]
    patch = experts.patches[0][30]
    one = sum(layer.weights.size for layer in patch.layers)
    frontal = floors.cen_experts(experts, model.experts[-1], 0)
    assert len(frontal) == int(np.count_nonzero(experts.visibility[0]))
    found = floors.response_maps(model, 1, 9, [0, 0, 0])
    assert found.flop == 3 * 2 * one * len(frontal) * 40
    distinct = len({id(p) for p in frontal})
    assert distinct < len(frontal), "pairs of the frontal view share one expert"
    assert found.moved == 4 * (distinct * one + 3 * len(frontal) * 81)
    turned = floors.response_maps(model, 1, 9, [0, 3])
    assert turned.flop > floors.response_maps(model, 1, 9, [0]).flop
    assert floors.response_maps(model, 1, 9, []) == Work()


def test_ccnf_experts_count_neurons_and_covariances():
    def patch(neurons):
        count = np.zeros(neurons)
        return CCNFPatch(3, 3, count.astype(np.int32), count, count, count, np.zeros((neurons, 3, 3), np.float32),
                         np.zeros(1), 1.0)  # fmt: skip

    patches = ((patch(7), patch(2)), (patch(4), patch(4)))
    experts = CCNFExperts(0.25, np.zeros((2, 3)), np.array([[1, 1], [1, 0]], np.int32), (5,), ((),), patches)
    model = SimpleNamespace(experts=[experts])
    found = floors.response_maps(model, 0, 5, [0, 0, 1])
    assert found.flop == 2 * 2 * (9 * 9 * 25 + 2 * 625) + 2 * (4 * 9 * 25 + 625)
    maps, weights = 4 * (2 * 2 * 25 + 25), 4 * (9 * 9 + 2 * 625 + 4 * 9 + 625)
    assert found.moved == maps + weights


def test_landmark_stages_count_the_least_that_they_take():
    pdm = PDM(np.zeros(6), np.zeros((6, 1)), np.ones(1))  # two points, one mode: seven unknowns
    step = 12 + 20 + 2 * 4 * 28 + 2 * 4 * 7 + 7**3 / 3 + 2 * 49
    assert floors.gauss_newton_step(pdm) == pytest.approx(step)
    assert floors.shapes(pdm, 3) == Work(3 * 12.0, 4 * (3 * 11 + 12))
    found = floors.fitting(pdm, (0, 5, 3), 2)
    assert found.flop == pytest.approx(2 * (2 * 7 * 2 * (25 + 9) + 2 * step))
    assert found.moved == 4 * (2 * 2 * (25 + 9) + 12)
    assert floors.fit_shape(pdm, 2).flop == pytest.approx(2 * 3 * step)


def test_analysis_counts_bytes():
    pdm = PDM(np.zeros(6), np.zeros((6, 1)), np.ones(1))
    assert floors.alignment(2).moved == 2 * 112 * 112 * 3
    assert floors.fhog(1).moved == 112 * 112 * 3 + 4 * 4464
    assert floors.geometry(pdm, 2) == Work(24.0, 2 * (4 + 8 * 7) + 8 * 6)
    assert floors.running_median(10, 4, 3).moved == 3 * 10 * (2 * 20 + 8 + (4 + 4) / 2)
    dynamic = floors.action_units(5, 8, 2, 3, medians=True)
    assert dynamic == Work(3 * (2 * 50 + 10.0), 3 * (4 * 8 + 8 * 2 + 8 * 10 + 8 * 5) + 8 * 50)
    assert floors.action_units(5, 8, 2, 1, medians=False).flop == 100
    assert floors.bytes_of(np.zeros((3, 2), np.float64)) == 48


# ---- The device itself -----------------------------------------------------------------------------------------------


def test_rates_are_measured(device):
    found = measure_rates(device, size=64, copy=1 << 16, link=1 << 12, launches=2, repeats=2)
    assert all(math.isfinite(value) and value > 0 for value in found.as_dict().values())


def test_products_in_tf32_are_refused(device, monkeypatch):
    refuse_tf32(device)

    def truncated(array):
        bits = array.view(np.uint32) & np.uint32(0xFFFFE000)  # ten bits behind the point
        return bits.view(np.float32)

    coarse = SimpleNamespace(
        xp=SimpleNamespace(matmul=lambda a, b: truncated(a) @ truncated(b)), upload=lambda a: a, download=lambda a: a,
        name="NVIDIA Test",
    )  # fmt: skip
    with pytest.raises(AuparityError, match="unset CUPY_TF32"):
        refuse_tf32(coarse)


def test_a_gpu_says_what_it_is_and_how_much_memory_is_used(monkeypatch):
    runtime = SimpleNamespace(driverGetVersion=lambda: 13000, runtimeGetVersion=lambda: 12090)
    pool = SimpleNamespace(total_bytes=lambda: 3 * 2**20)
    xp = SimpleNamespace(
        cuda=SimpleNamespace(runtime=runtime), __version__="14.0", get_default_memory_pool=lambda: pool
    )
    gpu = SimpleNamespace(name="NVIDIA Test", capability="90", xp=xp, memory=lambda: (2**30, 141 * 2**30))
    assert gpu_facts(gpu) == {
        "gpu_used": "NVIDIA Test", "gpu_compute_capability": "9.0", "gpu_driver_serves_cuda": "13.0",
        "cuda_runtime": "12.9", "cupy": "14.0", "gpu_memory_gib": 141.0,
    }  # fmt: skip
    assert held_mib(gpu) == 3.0
    assert held_mib(SimpleNamespace(xp=np)) is None
    assert rates_module.SIZE**2 * 4 * 3 < 2**30, "three matrices fit everywhere"
