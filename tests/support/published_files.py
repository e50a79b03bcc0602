"""Files of random weights as other frameworks write them, and what they compute.

Everything here is written without this package's readers. The weights of a net are
{layer: (kernel, bias)} with kernels [O, I, H, W] and [O, I], input channels as the
framework has them, and maps flattened as C, H, W.
"""

import dataclasses
import importlib.resources
import pickle
import struct
import sys
import types
import zipfile

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import zoo

SHAPES = {
    "caffe": {
        "conv1": (96, 3, 11, 11),
        "conv2": (256, 48, 5, 5),
        "conv3": (384, 256, 3, 3),
        "conv4": (384, 192, 3, 3),
        "conv5": (256, 192, 3, 3),
        "fc6": (4096, 9216),
        "fc7": (4096, 4096),
        "fc8": (1000, 4096),
    },
    "torchvision": {
        "features.0": (64, 3, 11, 11),
        "features.3": (192, 64, 5, 5),
        "features.6": (384, 192, 3, 3),
        "features.8": (256, 384, 3, 3),
        "features.10": (256, 256, 3, 3),
        "classifier.1": (4096, 9216),
        "classifier.4": (4096, 4096),
        "classifier.6": (1000, 4096),
    },
}


def shapes_of(family, classes=1000, shrink=1):
    """The shapes of a net's kernels, all widths divided by `shrink`."""
    found = {}
    for name, (outputs, inputs, *size) in SHAPES[family].items():
        inputs = inputs if inputs == 3 else inputs // shrink
        found[name] = (outputs // shrink, inputs, *size)
    top = list(found)[-1]
    found[top] = (classes, *found[top][1:])
    return found


# A program that runs a command, given as (divisor, module, arguments ...), with a small zoo.
WITH_SMALL_ZOO = """
import runpy, sys
import pytest
from tests.support import published_files
_, shrink, *sys.argv = sys.argv
published_files.small_zoo(pytest.MonkeyPatch(), int(shrink))
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def small_zoo(monkeypatch, shrink=8):
    """Divides the widths of the published nets in the zoo, so that tests are quick."""
    for name in ("caffe_alexnet", "caffenet", "torchvision"):
        net = zoo.ARCHITECTURES[name]
        layers = tuple(
            dataclasses.replace(layer, filters=layer.filters // shrink)
            if isinstance(layer, architectures.Convolution)
            else dataclasses.replace(layer, units=layer.units // shrink)
            if isinstance(layer, architectures.Dense)
            else layer
            for layer in net.layers
        )
        monkeypatch.setitem(
            zoo.ARCHITECTURES, name, dataclasses.replace(net, layers=layers)
        )


def random_weights(shapes, seed=0):
    """Wide (He) random weights, so that logits of different images differ."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, shape in shapes.items():
        deviation = (2 / np.prod(shape[1:])) ** 0.5
        kernel = rng.standard_normal(shape, np.float32) * np.float32(deviation)
        bias = rng.standard_normal(shape[0], np.float32)
        found[name] = kernel, bias
    return found


# The wire format of protocol buffers, by hand.


def _varint(number):
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes([*encoded, number])


def _int(field, number):
    return _varint(field << 3) + _varint(number)


def _float(field, number):
    return _varint(field << 3 | 5) + struct.pack("<f", number)


def _bytes(field, data):
    data = data.encode() if isinstance(data, str) else data
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def blob(array, *, legacy=False, double=False):
    """A BlobProto, with its shape as Caffe writes it today or before 2015."""
    if legacy:
        dims = (1,) * (4 - array.ndim) + array.shape
        head = b"".join(_int(field + 1, size) for field, size in enumerate(dims))
    else:
        head = _bytes(7, _bytes(1, b"".join(map(_varint, array.shape))))
    if double:
        return head + _bytes(8, array.astype("<f8").tobytes())
    return head + _bytes(5, array.astype("<f4").tobytes())


_V1_TYPES = {"Convolution": 4, "ReLU": 18, "LRN": 15, "Pooling": 17}
_V1_TYPES |= {"InnerProduct": 14, "Dropout": 6, "Data": 5, "SoftmaxWithLoss": 21}


def caffe_layers(net):
    """(name, type) of the layers of Caffe's two nets, in their order."""
    shrink = ["norm", "pool"] if net == "caffe_alexnet" else ["pool", "norm"]
    kinds = {"norm": "LRN", "pool": "Pooling"}
    layers = [("data", "Data")]
    for number in (1, 2, 3, 4, 5):
        layers += [(f"conv{number}", "Convolution"), (f"relu{number}", "ReLU")]
        after = shrink if number < 3 else ["pool"] if number == 5 else []
        layers += [(f"{kind}{number}", kinds[kind]) for kind in after]
    for number in (6, 7):
        layers += [(f"fc{number}", "InnerProduct"), (f"relu{number}", "ReLU")]
        layers += [(f"drop{number}", "Dropout")]
    return [*layers, ("fc8", "InnerProduct"), ("loss", "SoftmaxWithLoss")]


def write_caffemodel(path, weights, *, net="caffe_alexnet", form="new", **options):
    """Writes a `.caffemodel` in the "new" wire form or in the older one, "v1".

    `options`: `constants=False` leaves the parameters of layers out, `order=False` the
    layers without weights, `double=True` writes float64, `alpha` is LRN's,
    `rename={"fc8": ...}` other names of layers, `dense` another type of dense layers.
    """
    new = form == "new"
    names = options.get("rename", {})
    data = _bytes(1, "AlexNet")
    for name, kind in caffe_layers(net):
        if kind == "InnerProduct":
            kind = options.get("dense", kind)
        if not options.get("order", True) and name not in weights:
            continue
        shown = names.get(name, name)
        layer = (
            _bytes(1, shown) + _bytes(2, kind)
            if new
            else _bytes(4, shown) + _int(5, _V1_TYPES[kind])
        )
        for array in weights.get(name, ()):
            content = blob(array, legacy=not new, double=options.get("double", False))
            layer += _bytes(7 if new else 6, content)
        if options.get("constants", True):
            layer += _caffe_constants(name, kind, new, options.get("alpha", 1e-4))
        data += _bytes(100 if new else 2, layer)
    path.write_bytes(data)
    return path


def _caffe_constants(name, kind, new, alpha):
    if kind == "Convolution":
        pad = {"conv1": 0, "conv2": 2}.get(name, 1)
        groups = 2 if name in ("conv2", "conv4", "conv5") else 1
        stride = 4 if name == "conv1" else 1
        chosen = _int(3, pad) + _int(5, groups) + _int(6, stride)
        return _bytes(106 if new else 10, chosen)
    if kind == "LRN":
        chosen = _int(1, 5) + _float(2, alpha) + _float(3, 0.75)
        return _bytes(118 if new else 18, chosen)
    if kind == "Pooling":
        chosen = _int(1, 0) + _int(2, 3) + _int(3, 2)
        return _bytes(121 if new else 19, chosen)
    return b""


def deploy_prototxt(net, weights):
    """Caffe's description of one of its two nets, for images of 227 pixels."""
    lines = [
        'layer { name: "data" type: "Input" top: "data" '
        "input_param { shape { dim: 1 dim: 3 dim: 227 dim: 227 } } }"
    ]
    bottom = "data"
    for name, kind in caffe_layers(net):
        if kind in ("Data", "Dropout", "SoftmaxWithLoss"):
            continue
        outputs = len(weights[name][0]) if name in weights else 0
        if kind == "Convolution":
            pad = {"conv1": 0, "conv2": 2}.get(name, 1)
            rest = (
                f"convolution_param {{ num_output: {outputs} pad: {pad} kernel_size: "
                f"{weights[name][0].shape[-1]} stride: {4 if name == 'conv1' else 1} "
                f"group: {2 if name in ('conv2', 'conv4', 'conv5') else 1} }}"
            )
        else:
            rest = {
                "InnerProduct": f"inner_product_param {{ num_output: {outputs} }}",
                "LRN": "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }",
                "Pooling": "pooling_param { pool: MAX kernel_size: 3 stride: 2 }",
                "ReLU": "",
            }[kind]
        lines.append(
            f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" '
            f'top: "{name}" {rest} }}'
        )
        bottom = name
    return "\n".join(lines)


def zoo_graph(weights):
    """The ONNX model zoo's graph of bvlcalexnet, from the onnx wheel, with weights.

    It reads images of 224 pixels, as the zoo's file does.
    """
    light = importlib.resources.files("onnx").joinpath(
        "backend/test/data/light/light_bvlc_alexnet.onnx"
    )
    model = onnx.load_from_string(light.read_bytes())
    graph = model.graph
    made = [node for node in graph.node if node.op_type == "ConstantOfShape"]
    for node in made:
        graph.node.remove(node)
    del graph.initializer[:], graph.value_info[:]
    for given in [each for each in graph.input if each.name != "data_0"]:
        graph.input.remove(given)
    for name, (kernel, bias) in weights.items():
        graph.initializer.append(numpy_helper.from_array(kernel, f"{name}_w_0"))
        graph.initializer.append(numpy_helper.from_array(bias, f"{name}_b_0"))
    flat = np.array([1, weights["fc6"][0].shape[1]], np.int64)
    graph.initializer.append(numpy_helper.from_array(flat, "OC2_DUMMY_1"))
    del graph.output[:]
    logits = helper.make_tensor_value_info("r24", onnx.TensorProto.FLOAT, None)
    graph.output.append(logits)
    softmax = graph.node[-1]
    prob = helper.make_tensor_value_info(softmax.output[0], 1, None)
    graph.output.insert(0, prob)
    return model


def at_size(model, side):
    """The same graph for images of `side` pixels."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    dims = changed.graph.input[0].type.tensor_type.shape.dim
    dims[2].dim_value = dims[3].dim_value = side
    return changed


def sequential_graph(weights, net):
    """An ONNX graph of `torchvision` or `caffenet`, one operation after another."""
    nodes, initializers, last = [], [], "image"

    def add(kind, *inputs, **attributes):
        nonlocal last
        nodes.append(
            helper.make_node(kind, [last, *inputs], [f"v{len(nodes)}"], **attributes)
        )
        last = f"v{len(nodes) - 1}"

    torch_like = net == "torchvision"
    for number, (name, (kernel, bias)) in enumerate(weights.items(), 1):
        names = f"{name}.weight", f"{name}.bias"
        for tensor, array in zip(names, (kernel, bias), strict=True):
            initializers.append(numpy_helper.from_array(array, tensor))
        if kernel.ndim == 4:
            first_pad = 2 if torch_like else 0
            pad = {1: first_pad, 2: 2}.get(number, 1)
            add(
                "Conv",
                *names,
                strides=[4, 4] if number == 1 else [1, 1],
                pads=[pad] * 4,
                kernel_shape=list(kernel.shape[2:]),
                group=1 if torch_like or number in (1, 3) else 2,
            )
            add("Relu")
            if number in (1, 2, 5):
                add("MaxPool", kernel_shape=[3, 3], strides=[2, 2])
            if number in (1, 2) and not torch_like:
                add("LRN", size=5, alpha=1e-4, beta=0.75, bias=1.0)
        else:
            if number == 6:
                add("Flatten")
            add("Gemm", *names, transB=1)
            if number < 8:
                add("Relu")
    side = 224 if torch_like else 227
    return helper.make_model(
        helper.make_graph(
            nodes,
            net,
            [helper.make_tensor_value_info("image", 1, ["N", 3, side, side])],
            [helper.make_tensor_value_info(last, 1, None)],
            initializers,
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )


def run_graph(model, images):
    """The logits of images [N, 3, H, W], which are the graph's last output."""
    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), quiet, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    parts = [session.run(None, {name: image[None]})[-1] for image in images]
    return np.concatenate(parts)


def caffe_inputs(images, mean=(123, 117, 104)):
    """RGB images as Caffe's nets read them: BGR less the mean, [N, 3, H, W]."""
    centered = images.astype(np.float32) - np.asarray(mean, np.float32)
    return np.ascontiguousarray(centered[..., ::-1].transpose(0, 3, 1, 2))


def torch_inputs(images):
    """RGB images as torchvision reads them: 0-1, less the mean, by the deviation."""
    scaled = images.astype(np.float64) / 255
    normalized = (scaled - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    return np.ascontiguousarray(normalized.transpose(0, 3, 1, 2), np.float32)


def write_numpy(path, weights, *, nested=False, map_shape=(6, 6)):
    """Writes caffe-tensorflow's `.npy`: HWIO and IO, and fc6 reads H, W, C."""
    content = {}
    for name, (kernel, bias) in weights.items():
        ours = kernel.transpose(2, 3, 1, 0) if kernel.ndim == 4 else kernel.T
        if name == "fc6":
            height, width = map_shape
            maps = kernel.reshape(len(kernel), -1, height, width)
            ours = maps.transpose(2, 3, 1, 0).reshape(-1, len(kernel))
        ours = np.ascontiguousarray(ours)
        content[name] = {"weights": ours, "biases": bias} if nested else [ours, bias]
    np.save(path, np.array(content, dtype=object), allow_pickle=True)
    return path


def state_dict(weights, prefix=""):
    """The weights under torch's names: the layer's, then `.weight` and `.bias`."""
    named = {}
    for name, (kernel, bias) in weights.items():
        named[f"{prefix}{name}.weight"] = kernel
        named[f"{prefix}{name}.bias"] = bias
    return named


class _Pickler(pickle.Pickler):
    """Pickles arrays as torch does tensors: by a function, and a storage outside."""

    def __init__(self, file, torch, legacy):
        super().__init__(file, protocol=2)
        self.storages = []
        self._torch = torch
        self._legacy = legacy

    def persistent_id(self, found):
        if not isinstance(found, _Storage):
            return None
        key = str(len(self.storages))
        self.storages.append(found.array)
        kinds = {"f4": self._torch.FloatStorage, "f8": self._torch.DoubleStorage}
        kind = kinds[found.array.dtype.str[1:]]
        pid = ("storage", kind, key, "cpu", found.array.size)
        return (*pid, None) if self._legacy else pid

    def reducer_override(self, found):
        if not isinstance(found, np.ndarray):
            return NotImplemented
        strides = tuple(stride // found.itemsize for stride in found.strides)
        rebuild = self._torch._utils._rebuild_tensor_v2
        arguments = (_Storage(found), 0, found.shape, strides, False, {})
        return rebuild, arguments


class _Storage:
    def __init__(self, array):
        self.array = array


def write_torch(path, content, *, legacy=False):
    """Writes arrays in `content` as `torch.save` does, in its newer or older format.

    torch is not needed: for the time of writing, a module of this name has what its
    pickles name.
    """
    torch = types.ModuleType("torch")
    torch._utils = types.ModuleType("torch._utils")
    for module, name in (
        (torch, "FloatStorage"),
        (torch, "DoubleStorage"),
        (torch._utils, "_rebuild_tensor_v2"),
    ):
        made = type(name, (), {"__module__": module.__name__})
        setattr(module, name, made)
    before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules |= {"torch": torch, "torch._utils": torch._utils}
    try:
        write = _write_torch_sequence if legacy else _write_torch_archive
        write(path, content, torch)
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    return path


def _write_torch_archive(path, content, torch):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        with archive.open("archive/data.pkl", "w") as file:
            pickler = _Pickler(file, torch, False)
            pickler.dump(content)
        archive.writestr("archive/byteorder", "little")
        for key, array in enumerate(pickler.storages):
            archive.writestr(f"archive/data/{key}", array.tobytes("A"))
        archive.writestr("archive/version", "3\n")


def _write_torch_sequence(path, content, torch):
    with path.open("wb") as file:
        pickle.dump(0x1950A86A20F9469CFC6C, file, protocol=2)
        pickle.dump(1001, file, protocol=2)
        system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
        pickle.dump(system, file, protocol=2)
        pickler = _Pickler(file, torch, True)
        pickler.dump(content)
        keys = [str(key) for key in range(len(pickler.storages))]
        pickle.dump(keys, file, protocol=2)
        for array in pickler.storages:
            file.write(struct.pack("<q", array.size) + array.tobytes("A"))
