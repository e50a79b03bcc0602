"""Classes of protocol-buffer messages, from a table of their fields.

The formats that are read and written here (Caffe's models, TensorFlow's examples) need
a few fields each, and no generated module.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
INT64, UINT32, FLOAT = _Field.TYPE_INT64, _Field.TYPE_UINT32, _Field.TYPE_FLOAT
DOUBLE, STRING, BOOL = _Field.TYPE_DOUBLE, _Field.TYPE_STRING, _Field.TYPE_BOOL
BYTES = _Field.TYPE_BYTES


def message_classes(
    package: str, messages: Mapping[str, Sequence[tuple[Any, ...]]]
) -> dict[str, Any]:
    """Returns the classes of messages, by name.

    Args:
        package: the name of the package that the messages are in.
        messages: for each message its fields as (name, number, type, default); the
            default may be left out. The type is one of this module, or the name of a
            message. "*" before a name stands for `repeated`, "**" for `repeated` and
            packed.

    Example:
        >>> classes = message_classes("example", {"Point": [("*x", 1, INT64)]})
        >>> classes["Point"](x=[3]).SerializeToString()
        b'\\x08\\x03'
    """
    schema = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax="proto2"
    )
    for name, fields in messages.items():
        described = schema.message_type.add(name=name)
        for field, number, kind, *default in fields:
            repeated = field.startswith("*")
            added = described.field.add(
                name=field.lstrip("*"),
                number=number,
                label=_Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL,
            )
            if isinstance(kind, str):
                added.type = _Field.TYPE_MESSAGE
                added.type_name = f".{package}.{kind}"
            else:
                added.type = kind
            if default:
                added.default_value = default[0]
            added.options.packed = field.startswith("**")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(schema)
    return {
        name: message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"{package}.{name}")
        )
        for name in messages
    }
