"""Read dlib's face-recognition ResNet from its ``.dat`` file and rebuild it as an ONNX graph.

``face_recognition`` ships its network as dlib's own serialisation. The prebuilt dlib
wheels run it without a BLAS, at 75-110 ms a face; onnxruntime runs the same numbers in
about 6 ms. This module reads the numbers and writes the graph. It does not run it, and
no weights are ever committed: the file comes from the installed package.

The format, as dlib's ``serialize.h`` and ``dnn/layers.h`` write it:

    integer   one header byte h, then h & 0x0F bytes of little-endian magnitude;
              h & 0x80 is the sign
    bool      one ASCII character, "0" or "1"
    string    integer length, then the bytes
    float     two integers, mantissa and exponent: mantissa * 2**exponent
    tensor    integer version 2, four integers n k rows columns, then the raw
              little-endian float32 numbers
    alias     integer version 1, four integers (a shape without numbers)

A layer is written as *version, its whole subnetwork, then its own details*. A file
therefore opens with the loss, the versions of all 130 levels below it, and the input; then
the parameters follow from the
innermost layer (the first convolution) outwards to the last (the fully connected one).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.faces.errors import ModelFileError

Array = npt.NDArray[np.float32]

EXPECTED_BYTES = 22_466_066
"""Where a right parse of dlib_face_recognition_resnet_model_v1.dat ends."""

CHIP_SIZE = 150
"""Side in pixels of the aligned RGB face picture the network reads."""

_VERSIONS = {"tag": 1, "con_first": 3}

# Filters of each residual block in execution order; True halves the picture.
_BLOCKS: tuple[tuple[int, bool], ...] = (
    *((32, False),) * 3,
    (64, True),
    *((64, False),) * 3,
    (128, True),
    *((128, False),) * 2,
    (256, True),
    *((256, False),) * 2,
    (256, True),
)


@dataclass
class _Reader:
    """A cursor over the bytes of a dlib file."""

    data: bytes
    at: int = 0

    def take(self, count: int) -> bytes:
        piece = self.data[self.at : self.at + count]
        if len(piece) != count:
            raise ModelFileError(f"the dlib file ends early, at byte {len(self.data)}")
        self.at += count
        return piece

    def integer(self) -> int:
        header = self.take(1)[0]
        magnitude = int.from_bytes(self.take(header & 0x0F), "little")
        return -magnitude if header & 0x80 else magnitude

    def integers(self, count: int) -> list[int]:
        return [self.integer() for _ in range(count)]

    def boolean(self) -> bool:
        return self.take(1) == b"1"

    def string(self) -> str:
        return self.take(self.integer()).decode("ascii", "replace")

    def floating(self) -> float:
        mantissa, exponent = self.integers(2)
        return math.ldexp(mantissa, exponent)

    def expect(self, found: object, wanted: object) -> None:
        if found != wanted:
            raise ModelFileError(
                f"byte {self.at} of the dlib file: found {found!r}, expected {wanted!r}; "
                "this is not dlib_face_recognition_resnet_model_v1"
            )

    def version(self, wanted: int) -> None:
        self.expect(self.integer(), wanted)

    def tensor(self) -> Array:
        self.version(2)
        shape = self.integers(4)
        raw = self.take(4 * math.prod(shape))
        return np.frombuffer(raw, dtype="<f4").astype(np.float32).reshape(shape)

    def alias(self) -> list[int]:
        self.version(1)
        return self.integers(4)


@dataclass
class ResNetParameters:
    """The numbers of the network, in execution order.

    ``convolutions``: 29 pairs of filters (out, in, rows, columns) and biases (out,), each
    already folded with the affine layer behind it. ``projection``: (256, 128), ``y = x @ W``.
    ``mean``: the RGB value subtracted from every pixel before division by 256.
    """

    convolutions: list[tuple[Array, Array]] = field(default_factory=list)
    projection: Array = field(default_factory=lambda: np.zeros((256, 128), np.float32))
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)


def read_parameters(path: Path) -> ResNetParameters:
    """Parse the ``.dat`` file at ``path``.

    Raises ``ModelFileError`` where the file is not the network this module knows.
    """
    try:
        reader = _Reader(path.read_bytes())
    except OSError as error:
        raise ModelFileError(f"the dlib file {path} cannot be read: {error}") from error
    parameters = ResNetParameters()
    reader.version(1)
    reader.expect(reader.string(), "loss_metric_2")
    reader.floating()  # margin
    reader.floating()  # distance threshold
    levels = _level_kinds()
    for kind in levels:
        reader.version(_VERSIONS.get(kind, 2))
    _read_input(reader, parameters)
    for kind in reversed(levels):
        _read_details(reader, kind, parameters)
    reader.expect(reader.at, EXPECTED_BYTES)
    if len(reader.data) != EXPECTED_BYTES:
        raise ModelFileError(
            f"{len(reader.data) - EXPECTED_BYTES} bytes follow the last layer of the dlib file; "
            "install face_recognition_models again"
        )
    return parameters


def _level_kinds() -> list[str]:
    """The 130 levels below the loss, outermost first, as the file nests them."""
    inner_first = ["con_first", "affine_", "relu_", "max_pool_2"]
    for _, halves in _BLOCKS:
        block = ["tag", "con_4", "affine_", "relu_", "con_4", "affine_"]
        tail = (
            ["tag", "tag", "avg_pool_2", "add_prev_", "relu_"] if halves else ["add_prev_", "relu_"]
        )
        inner_first += block + tail
    inner_first += ["avg_pool_2", "fc_2"]
    return inner_first[::-1]


def _read_input(reader: _Reader, parameters: ResNetParameters) -> None:
    reader.expect(reader.string(), "input_rgb_image_sized")
    parameters.mean = (reader.floating(), reader.floating(), reader.floating())
    reader.expect(reader.integers(2), [CHIP_SIZE, CHIP_SIZE])


def _read_details(reader: _Reader, kind: str, parameters: ResNetParameters) -> None:
    """Read one layer's own fields, and the training leftovers that every layer carries."""
    if kind == "tag":
        return
    name = "con_4" if kind == "con_first" else kind
    reader.expect(reader.string(), name)
    if name == "con_4":
        flat = reader.tensor().ravel()
        filters, rows, columns = reader.integers(3)
        reader.integers(4)  # strides and padding: fixed by the layer's place
        shape = reader.alias()
        reader.alias()
        for _ in range(4):
            reader.floating()  # learning-rate and weight-decay multipliers
        reader.expect([shape[0], shape[2], shape[3]], [filters, rows, columns])
        weights, biases = flat[:-filters].reshape(shape), flat[-filters:]
        parameters.convolutions.append((weights, biases))
    elif name == "affine_":
        flat = reader.tensor().ravel()
        reader.alias()
        reader.alias()
        reader.integer()  # mode: convolution
        gamma, beta = np.split(flat.astype(np.float64), 2)
        weights, biases = parameters.convolutions[-1]
        parameters.convolutions[-1] = (
            (weights * gamma[:, None, None, None]).astype(np.float32),
            (biases * gamma + beta).astype(np.float32),
        )
    elif name in ("max_pool_2", "avg_pool_2"):
        reader.integers(6)
    elif name == "fc_2":
        outputs, inputs = reader.integers(2)
        parameters.projection = reader.tensor().reshape(inputs, outputs)
        reader.alias()
        reader.alias()
        reader.integer()  # bias mode: none
        for _ in range(4):
            reader.floating()
    for _ in range(3):
        reader.boolean()
    for _ in range(3):
        reader.tensor()
    if kind == "con_first":
        reader.integer()  # sample_expansion_factor


class _Graph:
    """Collects named ONNX nodes; sizes are tracked as (channels, side)."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: npt.NDArray[np.generic]) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def convolution(self, x: str, weights: Array, biases: Array, stride: int) -> str:
        side = weights.shape[2]
        # dlib pads by half the kernel at stride 1 and not at all above it.
        pad = side // 2 if stride == 1 else 0
        return self.node(
            "Conv",
            [x, self.constant(weights), self.constant(biases)],
            kernel_shape=[side, side],
            strides=[stride, stride],
            pads=[pad] * 4,
        )

    def pad_to(self, x: str, size: tuple[int, int], wanted: tuple[int, int]) -> str:
        """Zero-pad at the end of channels, rows and columns, as dlib's ``add_prev`` does."""
        if size == wanted:
            return x
        channels, side = wanted[0] - size[0], wanted[1] - size[1]
        pads = np.array([0, 0, 0, 0, 0, channels, side, side], dtype=np.int64)
        return self.node("Pad", [x, self.constant(pads)], mode="constant")


def build_onnx(parameters: ResNetParameters) -> bytes:
    """Return the network as an ONNX model (opset 13).

    Input ``chips``: float32 (n, 3, 150, 150), RGB, 0-255. Output ``embeddings``: float32
    (n, 128), not normalised. The pixel mean and scale are folded into the first
    convolution, which is exact because that convolution has no padding.
    """
    graph = _Graph()
    convolutions = iter(parameters.convolutions)

    weights, biases = next(convolutions)
    mean = np.array(parameters.mean, dtype=np.float64)
    scaled = weights.astype(np.float64) / 256.0
    shifted = biases - np.einsum("oirc,i->o", scaled, mean)
    x = graph.convolution("chips", scaled.astype(np.float32), shifted.astype(np.float32), 2)
    x = graph.node("Relu", [x])
    x = graph.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2])
    size = (32, 35)

    for filters, halves in _BLOCKS:
        stride = 2 if halves else 1
        branch = graph.convolution(x, *next(convolutions), stride)
        branch = graph.node("Relu", [branch])
        branch = graph.convolution(branch, *next(convolutions), 1)
        shortcut, shortcut_size, branch_size = x, size, (filters, size[1])
        if halves:
            shortcut = graph.node("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
            shortcut_size = (size[0], size[1] // 2)
            branch_size = (filters, (size[1] - 3) // 2 + 1)
        size = (max(shortcut_size[0], branch_size[0]), max(shortcut_size[1], branch_size[1]))
        total = graph.node(
            "Add",
            [
                graph.pad_to(shortcut, shortcut_size, size),
                graph.pad_to(branch, branch_size, size),
            ],
        )
        x = graph.node("Relu", [total])

    x = graph.node("GlobalAveragePool", [x])
    x = graph.node("Flatten", [x])
    graph.nodes.append(
        helper.make_node(
            "Gemm", [x, graph.constant(parameters.projection)], ["embeddings"], name="projection"
        )
    )
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "dlib-resnet-1",
            [helper.make_tensor_value_info("chips", TensorProto.FLOAT, ["n", 3, 150, 150])],
            [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", 128])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
