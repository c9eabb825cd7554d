"""face-api's own points beside ours: ``auparity dev face-api --package DIR IMAGE...``; needs Node.js.

DIR is the folder `node_modules` in which npm put the package and the library that computes for it in plain JavaScript:
``npm install @vladmandic/face-api@1.7.15 @tensorflow/tfjs@4.22.0``. Both programs use the package's weights, and both
see the squares that our rule cuts around the faces which a detector finds. The package is given each square twice: as
the 112 x 112 pixels that our network sees, where only arithmetic can differ, and in full size, so that it makes them
smaller itself. It samples tensors at the corners of pixels where we sample at their middle, as browsers do.
"""

from __future__ import annotations

import argparse
import base64
import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import AuparityError, VariantUnavailable
from auparity.json_files import load_json
from auparity.media import read_photograph
from auparity.models.networks.chosen import choose_bundle
from auparity.models.networks.published import read_network
from auparity.models.types import FaceApi
from auparity.reference.model_families import locator_of
from auparity.reference.networks import point_networks
from auparity.reference.networks.crops import Square, box_of_mtcnn, crop_rule_of

Array = npt.NDArray[Any]

PACKAGE = "@vladmandic/face-api"
#: The package's networks: our names, its own, and the manifests of their weights.
NETWORKS = {
    "face-api": ("faceLandmark68Net", "face_landmark_68_model-weights_manifest.json"),
    "tiny": ("faceLandmark68TinyNet", "face_landmark_68_tiny_model-weights_manifest.json"),
}
TIMEOUT = 1800  #: s of Node.js; a face takes it a tenth of a second
#: Reads squares and writes points. The package asks for TensorFlow's native library, and gets the one in JavaScript.
PROGRAM = """
const fs = require('fs'), Module = require('module'), path = require('path');
const [folder, asked, answered] = process.argv.slice(2);
const own = Module.createRequire(path.join(path.resolve(folder), 'x.js')), load = Module._load;
Module._load = (name, ...rest) =>
  name === '@tensorflow/tfjs-node' ? own('@tensorflow/tfjs') : load(name, ...rest);
const tf = own('@tensorflow/tfjs'), faceapi = own('@vladmandic/face-api/dist/face-api.node.js');
(async () => {
  const { network, squares } = JSON.parse(fs.readFileSync(asked)), points = [];
  await tf.setBackend('cpu');
  await faceapi.nets[network].loadFromDisk(path.join(folder, '@vladmandic/face-api/model'));
  for (const { side, pixels } of squares) {
    const tensor = tf.tensor3d(new Uint8Array(Buffer.from(pixels, 'base64')), [side, side, 3], 'int32');
    const found = await faceapi.nets[network].detectLandmarks(tensor);
    points.push(found.positions.map(({ x, y }) => [x / side, y / side]));
    tensor.dispose();
  }
  fs.writeFileSync(answered, JSON.stringify(points));
})();
"""


@dataclass(frozen=True, eq=False)
class Face:
    """A face to look at."""

    image: Array  #: (H, W, 3) uint8 BGR
    box: Array  #: (4,) RetinaFace's


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out `auparity dev face-api`; returns the exit code."""
    parser = argparse.ArgumentParser(prog="auparity dev face-api", description=__doc__)
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="images with faces")
    parser.add_argument("--package", required=True, type=Path, metavar="DIR", help="the folder node_modules")
    parser.add_argument("--node", default="node", metavar="PROGRAM", help="default: node")
    parser.add_argument("--models", metavar="SOURCE", help="as `auparity extract`")
    parser.add_argument("--detector", metavar="WHICH", help="as `auparity extract`")
    chosen = parser.parse_args(arguments)
    faces = _faces(chosen.images, chosen.models, chosen.detector)
    if not faces:
        raise AuparityError("There is no face in these images. Name others, or another --detector.")
    print(f"{len(faces)} faces; differences of coordinates in px of the image, largest and mean")
    print("| network | the package sees | largest | mean |\n|---|---|---|---|")
    for name, (theirs, manifest) in NETWORKS.items():
        network = read_network(chosen.package / PACKAGE / "model" / manifest).network
        assert isinstance(network, FaceApi)
        squares = [_square(network, face) for face in faces]
        run = point_networks.build(network)
        own = [run(square.cut(face.image)[None])[0] for square, face in zip(squares, faces, strict=True)]
        for what, side in (("our 112 x 112 pixels", 112), ("the square in full size", None)):
            pixels = [square.cut(face.image, side or square.size) for square, face in zip(squares, faces, strict=True)]
            points = _of_the_package(chosen.node, chosen.package, theirs, pixels)
            apart = [np.abs(a - b) * square.size for a, b, square in zip(own, points, squares, strict=True)]
            print(f"| {name} | {what} | {np.max(apart):.2g} | {np.mean(apart):.2g} |", flush=True)
    return 0


def _faces(paths: Sequence[Path], models: str | None, detector: str | None) -> list[Face]:
    locator = locator_of(choose_bundle(models, detector=detector))
    images = [read_photograph(path)[0] for path in paths]
    located = locator.locate(images)
    return [
        Face(image, box)
        for image, detections in zip(images, located, strict=True)
        for box in box_of_mtcnn(detections.boxes)
    ]


def _square(network: FaceApi, face: Face) -> Square:
    square = crop_rule_of(network)(face.box)
    assert isinstance(square, Square)
    return square


def _of_the_package(node: str, package: Path, network: str, squares: Sequence[Array]) -> list[Array]:
    """What the package draws in squares (side, side, 3) uint8 BGR: points (68, 2) in parts of each."""
    given = [
        {"side": len(pixels), "pixels": base64.b64encode(pixels[..., ::-1].tobytes()).decode()} for pixels in squares
    ]
    with tempfile.TemporaryDirectory(prefix="auparity-") as name:
        folder = Path(name)
        (folder / "program.js").write_text(PROGRAM, encoding="utf-8")
        asked, answered = folder / "asked.json", folder / "answered.json"
        command = [node, str(folder / "program.js"), str(package.resolve()), str(asked), str(answered)]
        asked.write_text(json.dumps({"network": network, "squares": given}), encoding="utf-8")
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        except FileNotFoundError as missing:
            raise VariantUnavailable(f"{node} is not installed: https://nodejs.org, or --node PROGRAM.") from missing
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AuparityError(f"{node} cannot run the package: {error}") from error
        if done.returncode != 0 or not answered.is_file():
            raise AuparityError(f"{node} cannot run the package in {package}: {done.stderr.strip()[-600:]}")
        found = load_json(answered, "points of the package", list[list[tuple[float, float]]])
    return [np.array(points) for points in found]
