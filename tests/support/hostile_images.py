"""Images that strangers may make: valid parts in wrong order, number, size or contents.

Bytes changed at random seldom get past a checksum. So an image is taken apart, its parts
are changed, and it is put together again with the right checksums and lengths.
"""

import gzip
import random
import struct
import zlib

from tests.support import encoded_images

_NUMBERS = (
    0,
    1,
    2,
    3,
    7,
    8,
    15,
    16,
    255,
    256,
    4096,
    65535,
    2**31 - 1,
    2**31,
    2**32 - 1,
)
_PNG_KINDS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"zTXt", b"iTXt", b"iCCP",
              b"gAMA", b"eXIf", b"sPLT", b"hIST", b"acTL", b"fcTL", b"fdAT", b"ABCD",
              b"cHRM", b"sBIT", b"tIME")  # fmt: skip
_JPEG_MARKERS = (0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xC9, 0xCC, 0xD0, 0xD8, 0xD9, 0xDA, 0xDB,
                 0xDC, 0xDD, 0xE0, 0xE1, 0xE2, 0xEE, 0xFE)  # fmt: skip


def make(random_source: random.Random) -> bytes:
    """Returns one image; most of them are damaged."""
    seeds = _SEEDS[random_source.choice(sorted(_SEEDS))]
    data = random_source.choice(seeds)
    change = random_source.choice([_of_parts, _of_parts, _of_parts, _of_bytes])
    data = change(data, random_source)
    if random_source.random() < 0.05:
        packed = gzip.compress(data)
        return (
            _of_bytes(packed, random_source) if random_source.random() < 0.5 else packed
        )
    return data


def _of_bytes(data: bytes, random_source: random.Random) -> bytes:
    """Some bytes are changed, removed or doubled, half of them in the header."""
    changed = bytearray(data)
    for _ in range(random_source.randint(0, 6)):
        end = random_source.choice([64, len(changed)])
        place = random_source.randrange(max(1, min(end, len(changed))))
        match random_source.randrange(4):
            case 0:
                changed[place : place + 1] = random_source.randbytes(1)
            case 1:
                del changed[place : place + random_source.randint(1, 64)]
            case 2:
                changed[place:place] = changed[place : place + 256]
            case 3:
                del changed[random_source.choice([place, len(changed)]) :]
    return bytes(changed)


def _of_parts(data: bytes, random_source: random.Random) -> bytes:
    for start, (take_apart, put_together, new) in _KINDS.items():
        if data.startswith(start):
            try:
                parts = take_apart(data)
            except (IndexError, ValueError, struct.error):  # it is too short for that
                break
            for _ in range(random_source.randint(1, 4)):
                _change(parts, random_source, new)
            return put_together(parts, random_source)
    return _of_bytes(data, random_source)


def _change(parts: list, random_source: random.Random, new) -> None:
    """Changes, removes, doubles, moves or adds one part."""
    place = random_source.randrange(len(parts)) if parts else 0
    match random_source.randrange(6):
        case 0 if parts:
            del parts[place]
        case 1 if parts:
            parts[place:place] = [parts[place]] * random_source.choice([1, 1, 300])
        case 2 if parts:
            parts.insert(random_source.randrange(len(parts)), parts.pop(place))
        case 3:
            parts.insert(place, new(random_source))
        case _ if parts:
            kind, contents = parts[place]
            parts[place] = kind, _changed_contents(kind, contents, random_source)


def _changed_contents(kind, contents: bytes, random_source: random.Random) -> bytes:
    if kind == b"IDAT" and random_source.random() < 0.5:
        try:  # behind the compression
            raw = zlib.decompress(contents)
        except zlib.error:
            return contents
        return zlib.compress(_of_bytes(raw, random_source))
    if random_source.random() < 0.5:
        return _of_bytes(contents, random_source)
    changed = bytearray(contents)
    length = random_source.choice([1, 2, 4])
    if len(changed) >= length:
        place = random_source.randrange(min(len(changed) - length + 1, 40))
        number = random_source.choice(_NUMBERS) % 256**length
        order = random_source.choice(["big", "little"])
        changed[place : place + length] = number.to_bytes(length, order)
    return bytes(changed)


def _png_parts(data):
    parts, place = [], 8
    while place + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        parts.append(
            (data[place + 4 : place + 8], data[place + 8 : place + 8 + length])
        )
        place += 12 + length
    return parts


def _png_of(parts, random_source):
    chunks = [encoded_images.chunk(kind, contents) for kind, contents in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _new_chunk(random_source):
    kind = random_source.choice(_PNG_KINDS)
    text = b"k\0\0" + zlib.compress(bytes(random_source.choice([10, 9_000_000])), 9)
    return kind, random_source.choice([b"", random_source.randbytes(7), text])


def _jpeg_parts(data):
    """Segments; what follows the first scan is one part of its own, None."""
    parts, place = [], 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        parts.append((marker, data[place + 4 : end]))
        place = end
        if marker == 0xDA:
            break
    return [*parts, (None, data[place:])]


def _jpeg_of(parts, random_source):
    segments = [
        contents
        if marker is None
        else bytes([0xFF, marker])
        + struct.pack(">H", min(len(contents) + 2, 65535))
        + contents
        for marker, contents in parts
    ]
    return b"\xff\xd8" + b"".join(segments)


def _new_segment(random_source):
    contents = random_source.choice([b"", b"\xff\xda" * 200, b"Exif\0\0II*\0"])
    return random_source.choice(_JPEG_MARKERS), contents


def _gif_parts(data):
    table = 13 + (3 << (data[10] & 7) + 1)
    image = data.index(b"\x2c", table)
    return [
        ("screen", data[6:13]),
        ("table", data[13:table]),
        ("extensions", data[table:image]),
        ("image", data[image : image + 10]),
        ("pixels", data[image + 10 :]),
    ]


def _gif_of(parts, random_source):
    return b"GIF89a" + b"".join(contents for _, contents in parts)


def _new_block(random_source):
    number, length = (
        random_source.choice([0, 1, 5000]),
        random_source.choice([1, 4, 255]),
    )
    block = bytes([length]) + random_source.randbytes(length)
    label = random_source.choice([0xF9, 0xFE, 0xFF, 0x01])
    return "extensions", b"\x21" + bytes([label]) + block * number + b"\0"


def _bmp_parts(data):
    (start,) = struct.unpack_from("<I", data, 10)
    return [
        ("file", data[2:14]),
        ("header", data[14:54]),
        ("palette", data[54:start]),
        ("pixels", data[start:]),
    ]


def _bmp_of(parts, random_source):
    return b"BM" + b"".join(contents for _, contents in parts)


def _new_fields(random_source):
    return "header", random_source.randbytes(random_source.choice([4, 16, 40]))


def of_small_parts(size: int) -> dict[str, bytes]:
    """Files of about `size` bytes that consist of as many parts as possible, by name."""
    png = encoded_images.WITHOUT_METADATA["png"]
    ihdr, rest = png[:33], png[33:]
    text, longer = encoded_images.chunk(b"tEXt"), encoded_images.chunk(b"tEXt", b"x")
    jpeg, gif = encoded_images.VALID["jpeg"], encoded_images.VALID["gif"]
    progressive = encoded_images.VALID["jpeg_progressive"]
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    table = 13 + (3 << (gif[10] & 7) + 1)

    def gif_of(repeated, start=b"\x21\xfe", end=b"\0"):
        return gif[:table] + start + filled(repeated) + end + gif[table:]

    def filled(repeated):
        return repeated * (size // len(repeated))

    return {
        "GIF of blocks": gif_of(b"\1x"),
        "GIF of two kinds of blocks": gif_of(b"\1x\2xx"),
        "GIF of extensions": gif_of(b"\x21\xfe\1x\0", b"", b""),
        "GIF of empty extensions": gif_of(b"\x21\xfe\0", b"", b""),
        "PNG of chunks": ihdr + filled(text) + rest,
        "PNG of two kinds of chunks": ihdr + filled(text + longer) + rest,
        "PNG of chunks after the end": png + filled(text),
        "PNG of empty pixels": ihdr + filled(encoded_images.chunk(b"IDAT")) + rest,
        "JPEG of segments": jpeg[:2] + filled(b"\xff\xfe\0\2") + jpeg[2:],
        "JPEG of two kinds of segments": jpeg[:2]
        + filled(b"\xff\xfe\0\2\xff\xfe\0\3x")
        + jpeg[2:],
        "JPEG of beginnings of scans": jpeg[:-2] + filled(b"\xff\xda") + jpeg[-2:],
        "JPEG of scans": progressive[:-2] + filled(scan) + progressive[-2:],
        "JPEG of markers after the end": jpeg + filled(b"\xff\xda"),
        "JPEG of restarts": jpeg[:-2] + filled(b"\xff\xd0") + jpeg[-2:],
        "JPEG of fill bytes": jpeg[:2] + filled(b"\xff") + jpeg[2:],
        "BMP of zeros after its pixels": encoded_images.VALID["bmp"] + filled(b"\0"),
    }


_KINDS = {
    b"\x89PNG": (_png_parts, _png_of, _new_chunk),
    b"\xff\xd8": (_jpeg_parts, _jpeg_of, _new_segment),
    b"GIF8": (_gif_parts, _gif_of, _new_block),
    b"BM": (_bmp_parts, _bmp_of, _new_fields),
}


def _seeds():
    found: dict[str, list[bytes]] = {}
    small = {**encoded_images.VALID, **encoded_images.OTHERWISE}
    for name, data in sorted(small.items()):
        found.setdefault(name.split("_")[0], []).append(data)
    found["refused"] = [d for d in encoded_images.refused().values() if len(d) < 10_000]
    return found


_SEEDS = _seeds()


def valid():
    """The images that are not changed, of every kind."""
    return [
        data for kind, seeds in _SEEDS.items() if kind != "refused" for data in seeds
    ]
