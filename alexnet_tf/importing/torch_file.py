"""Reads the tensors in a file that `torch.save` wrote, without torch.

Such a file is a pickle beside the bytes of the tensors, in a zip archive or, before
torch 1.6, one after the other. The pickle is read by `restricted_pickle`, so nothing in
the file runs.
"""

import collections
import dataclasses
import io
import math
import struct
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from alexnet_tf.importing import restricted_pickle
from alexnet_tf.importing.source import WeightsError

# The first number in a file of torch before 1.6, and the version of that format.
_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001

_ADVICE = (
    "save the tensors alone, by torch.save(model.state_dict(), 'weights.pth'), or as "
    ".safetensors"
)

# How the names that torch gives to types of storage are read. NumPy has no bfloat16,
# which is the upper half of a float32.
_TYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "<u1",
}


@dataclasses.dataclass(frozen=True)
class _Storage:
    """The bytes of one or more tensors, somewhere in the file."""

    type: str
    key: str
    count: int

    @property
    def item_bytes(self) -> int:
        return 2 if self.type == "bfloat16" else np.dtype(self.type).itemsize


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """A view of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def of(self, numbers: np.ndarray) -> np.ndarray:
        """The tensor, of all numbers of its storage."""
        count = int(math.prod(self.shape))
        last = self.offset + sum(
            (size - 1) * stride
            for size, stride in zip(self.shape, self.strides, strict=True)
        )
        if (
            min((self.offset, *self.shape, *self.strides)) < 0
            or count > len(numbers)
            or (count and last >= len(numbers))
        ):
            raise restricted_pickle.PickleError(
                f"it is damaged (a tensor {list(self.shape)} does not fit its data)"
            )
        view = np.lib.stride_tricks.as_strided(
            numbers[self.offset :],
            self.shape,
            [stride * numbers.itemsize for stride in self.strides],
        )
        return np.array(view)


def _rebuilt(storage, offset, shape, strides, *_):
    """Stands for `torch._utils._rebuild_tensor` and its second version."""
    if not isinstance(storage, _Storage):
        raise restricted_pickle.PickleError("it is damaged (a tensor has no storage)")
    return _Tensor(storage, int(offset), tuple(shape), tuple(strides))


def _parameter(tensor, *_):
    """Stands for `torch._utils._rebuild_parameter`."""
    return tensor


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _rebuilt,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuilt,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    **{("torch", name): name for name in _TYPES},
}


def _stored(pid: Any) -> _Storage:
    """What a persistent id of torch stands for."""
    kind, type_name, key, _, count, *view = pid
    if kind != "storage" or type_name not in _TYPES or any(v is not None for v in view):
        raise restricted_pickle.PickleError(f"it is damaged (unknown data {pid!r})")
    return _Storage(_TYPES[type_name], str(key), int(count))


def read(path: str) -> dict[str, np.ndarray]:
    """Returns the tensors of a state dict by name.

    The state dict may be an entry of a checkpoint of training, such as `state_dict`.

    Raises:
        WeightsError: the file is damaged, holds something other than tensors, or more
            than one state dict.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return _read_archive(archive, path)
        with open(path, "rb") as file:
            return _read_sequence(file, path)
    except (
        restricted_pickle.PickleError,
        zipfile.BadZipFile,
        RuntimeError,  # of an archive that is encrypted, or packed in another way
    ) as error:
        raise WeightsError(
            f"{path} cannot be read: {error}. If torch reads it, {_ADVICE}"
        ) from error


def _read_archive(archive: zipfile.ZipFile, path: str) -> dict[str, np.ndarray]:
    members = {member.filename: member for member in archive.infolist()}
    pickles = [name for name in members if name.split("/")[1:] == ["data.pkl"]]
    if len(pickles) != 1:
        raise WeightsError(
            f"{path} is a zip archive and not one that torch.save wrote: {_ADVICE}"
        )
    if any(m.compress_type != zipfile.ZIP_STORED for m in members.values()):
        raise WeightsError(f"{path} is compressed, and torch.save does not: {_ADVICE}")
    folder = pickles[0].removesuffix("data.pkl")
    if members.get(f"{folder}byteorder"):
        order = archive.read(f"{folder}byteorder")
        if order.strip() != b"little":
            raise WeightsError(f"{path} was written on a big-endian machine: {_ADVICE}")
    pickled = io.BytesIO(archive.read(pickles[0]))
    state = _state_dict(restricted_pickle.load(pickled, _ALLOWED, _stored), path)

    def numbers(storage: _Storage) -> np.ndarray:
        name = f"{folder}data/{storage.key}"
        if name not in members:
            raise restricted_pickle.PickleError(f"it is damaged ({name} is missing)")
        return _numbers(archive.read(name), storage)

    return _arrays(state, numbers)


def _read_sequence(file: BinaryIO, path: str) -> dict[str, np.ndarray]:
    """Reads the format of torch before 1.6."""
    if restricted_pickle.load(file, {}) != _MAGIC:
        raise WeightsError(f"{path} is not a file that torch.save wrote: {_ADVICE}")
    if restricted_pickle.load(file, {}) != _PROTOCOL:
        raise WeightsError(f"{path} has an unknown format of torch: {_ADVICE}")
    system = restricted_pickle.load(file, {})
    if not isinstance(system, dict) or not system.get("little_endian", True):
        raise WeightsError(f"{path} was written on a big-endian machine: {_ADVICE}")
    storages: dict[str, _Storage] = {}

    def stored(pid: Any) -> _Storage:
        storage = _stored(pid)
        storages[storage.key] = storage
        return storage

    state = _state_dict(restricted_pickle.load(file, _ALLOWED, stored), path)
    found = {}
    for key in map(str, restricted_pickle.load(file, {})):
        if key not in storages:
            raise restricted_pickle.PickleError(f"it is damaged (unknown data {key!r})")
        head = file.read(8)
        if len(head) < 8 or struct.unpack("<q", head)[0] != storages[key].count:
            raise restricted_pickle.PickleError("it is damaged, or cut off")
        storage = storages[key]
        found[key] = _numbers(file.read(storage.count * storage.item_bytes), storage)
    return _arrays(state, lambda storage: found[storage.key])


def _numbers(data: bytes, storage: _Storage) -> np.ndarray:
    """All numbers of a storage."""
    if len(data) != storage.count * storage.item_bytes:
        raise restricted_pickle.PickleError(
            f"it is damaged, or cut off ({len(data)} bytes of data instead of "
            f"{storage.count * storage.item_bytes})"
        )
    if storage.type == "bfloat16":
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    return np.frombuffer(data, storage.type)


def _arrays(state: Mapping[str, _Tensor], numbers) -> dict[str, np.ndarray]:
    try:
        return {
            name: tensor.of(numbers(tensor.storage)) for name, tensor in state.items()
        }
    except (KeyError, TypeError, ValueError, MemoryError) as error:
        if isinstance(error, restricted_pickle.PickleError):
            raise
        raise restricted_pickle.PickleError(f"it is damaged ({error!r})") from error


def _state_dict(found: Any, path: str) -> Mapping[str, _Tensor]:
    """The only dict of tensors in what was pickled: all of it, or one of its entries."""
    if _is_state(found):
        return found
    entries = found if isinstance(found, Mapping) else {}
    states = {key: value for key, value in entries.items() if _is_state(value)}
    if len(states) == 1:
        return next(iter(states.values()))
    raise WeightsError(
        f"{path} holds no dict of tensors: {_ADVICE}"
        if not states
        else f"{path} holds more than one dict of tensors ({', '.join(map(str, states))}): "
        f"{_ADVICE}"
    )


def _is_state(found: Any) -> bool:
    return (
        isinstance(found, Mapping)
        and len(found) > 0
        and all(
            isinstance(name, str) and isinstance(value, _Tensor)
            for name, value in found.items()
        )
    )
