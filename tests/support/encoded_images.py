"""Encoded images as people bring them, and as strangers make them, of right checksums.

`VALID` are images of every kind that is read, `WITH_METADATA` have odd metadata around
sound pixels, and `refused()` are files that no decoder may see.
"""

import gzip
import struct
import zlib

import numpy as np
from PIL import Image

from tests.support import images

HEIGHT, WIDTH = 50, 40

# Channels by the color type of a PNG.
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2),
          (0, 1, 2, 2), (1, 0, 2, 1))  # fmt: skip


def noise(height=HEIGHT, width=WIDTH, channels=3, seed=1):
    """Random pixels, uint8 [height, width, channels]."""
    shape = (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def smooth(height=HEIGHT, width=WIDTH, mode="RGB"):
    """A Pillow image with soft colors, which JPEG keeps well."""
    few = Image.frombytes(mode, (4, 5), noise(5, 4, len(mode)).tobytes())
    return few.resize((width, height), Image.Resampling.BICUBIC)


def chunk(kind, data=b""):
    """A chunk of a PNG with its checksum."""
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


def png(*chunks, first=b""):
    """A PNG of these chunks; `first` stands before them."""
    return b"\x89PNG\r\n\x1a\n" + first + b"".join(chunks) + chunk(b"IEND")


def header(height, width, depth=8, color=2, interlaced=0):
    """The chunk IHDR."""
    fields = (width, height, depth, color, 0, 0, interlaced)
    return chunk(b"IHDR", struct.pack(">IIBBBBB", *fields))


def black(height, width, first=b""):
    """A black PNG of any size, made quickly by repeating one deflated row."""
    row = bytes(1 + 3 * width)
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(row) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = struct.pack(">HH", height * len(row) % 65521, 1)  # Adler-32 of zeros
    pixels = b"\x78\xda" + block * height + b"\x03\0" + checksum
    return png(header(height, width), chunk(b"IDAT", pixels), first=first)


def _packed_rows(samples, depth):
    """The rows of samples [H, W, C] as bytes, each after its filter type."""
    rows = samples.reshape(samples.shape[0], -1)
    if depth == 16:
        packed = rows.astype(">u2").view(np.uint8)
    elif depth == 8:
        packed = rows.astype(np.uint8)
    else:
        bits = rows[..., None] >> np.arange(depth - 1, -1, -1) & 1
        packed = np.packbits(bits.reshape(len(rows), -1).astype(np.uint8), axis=1)
    return b"".join(b"\0" + row.tobytes() for row in packed)


def png_of(samples, depth, color, *others, interlaced=False, pieces=1):
    """A PNG of samples, ints [H, W, C], with other chunks before its pixels."""
    height, width = samples.shape[:2]
    if interlaced:
        passes = [samples[top::down, left::right] for top, left, down, right in _ADAM7]
        raw = b"".join(_packed_rows(part, depth) for part in passes if part.size)
    else:
        raw = _packed_rows(samples, depth)
    packed = zlib.compress(raw)
    step = -(-len(packed) // pieces)
    return png(
        header(height, width, depth, color, int(interlaced)),
        *others,
        *(chunk(b"IDAT", packed[at : at + step]) for at in range(0, len(packed), step)),
    )


def _all_pngs():
    found = {}
    rng = np.random.default_rng(7)
    for color, channels in _CHANNELS.items():
        for depth in (1, 2, 4, 8, 16):
            if (depth < 8 and color not in (0, 3)) or (depth == 16 and color == 3):
                continue
            samples = rng.integers(0, 1 << depth, (HEIGHT, WIDTH, channels))
            count = min(1 << depth, 200)  # fewer colors than indices, if there are many
            colors = rng.integers(0, 256, 3 * count).astype(np.uint8).tobytes()
            palette = [chunk(b"PLTE", colors)] if color == 3 else []
            keys = {"": []}
            if color == 3:
                keys["_transparent"] = [chunk(b"tRNS", bytes(range(0, count, 2)))]
            elif color in (0, 2):
                key = samples[3, 3].astype(">u2").tobytes()
                keys["_transparent"] = [chunk(b"tRNS", key)]
            for name, key in keys.items():
                for interlaced in (False, True):
                    label = f"png_{color}_{depth}{name}{'_interlaced' * interlaced}"
                    found[label] = png_of(
                        samples, depth, color, *palette, *key, interlaced=interlaced
                    )
    return found


def gif_of(frame, *, canvas=None, corner=(0, 0), transparent=None, blocks=255):
    """A GIF of one frame, a Pillow image with a palette, somewhere in a canvas."""
    data = images.encode(frame, "GIF")
    table = 13 + (3 << (data[10] & 7) + 1)
    at = data.index(b"\x2c", table)
    width, height = canvas or frame.size
    control = b""
    if transparent is not None:
        control = b"\x21\xf9\x04\x01\0\0" + bytes([transparent]) + b"\0"
    stream, place = b"", at + 11
    while length := data[place]:
        stream += data[place + 1 : place + 1 + length]
        place += 1 + length
    parts = [stream[n : n + blocks] for n in range(0, len(stream), blocks)]
    return b"".join(
        [
            b"GIF89a",
            struct.pack("<HH", width, height),
            data[10:table],
            control,
            b"\x2c",
            struct.pack("<HHHH", *corner, *frame.size),
            data[at + 9 : at + 11],
            *(bytes([len(part)]) + part for part in parts),
            b"\0\x3b",
        ]
    )


def bmp_of(pixels, masks=None, top_down=False, header=108):
    """A BMP of 32 bits with the header of version 3 (56) or 4 (108), BGRA [H, W, 4]."""
    height, width = pixels.shape[:2]
    rows = pixels if top_down else pixels[::-1]
    masks = masks or (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    signed = -height if top_down else height
    fields = struct.pack("<IiiHHIIiiII", header, width, signed, 1, 32, 3, 0, 0, 0, 0, 0)
    second = (fields + struct.pack("<4I", *masks)).ljust(header, b"\0")
    first = b"BM" + struct.pack("<IHHI", 14 + header + rows.size, 0, 0, 14 + header)
    return first + second + rows.tobytes()


def packed_bmp_of(indices, bits, pixels, compression=0):
    """A BMP of few bits: its pixels as they are stored, and a palette up to 8 bits."""
    height, width = indices.shape
    colors = noise(1, 1 << bits, 4).tobytes() if bits <= 8 else b""
    fields = (40, width, height, 1, bits, compression, len(pixels), 0, 0, 0, 0)
    start = 14 + 40 + len(colors)
    first = b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start)
    return first + struct.pack("<IiiHHIIiiII", *fields) + colors + pixels


def _packed_bmps():
    indices = np.arange(64, dtype=np.uint8).reshape(8, 8) % 16
    nibbles = (indices[:, ::2] << 4 | indices[:, 1::2]).tobytes()
    runs = b"".join(b"\x08" + bytes([row[0]]) + b"\0\0" for row in indices) + b"\0\1"
    return {
        "bmp_4_bits": packed_bmp_of(indices, 4, nibbles),
        "bmp_16_bits": packed_bmp_of(indices, 16, noise(8, 8, 2).tobytes()),
        "bmp_run_length": packed_bmp_of(indices, 8, runs, compression=1),
        "bmp_os2": b"BM"
        + struct.pack("<IHHI", 26 + 8 * 24, 0, 0, 26)
        + struct.pack("<IHHHH", 12, 8, 8, 1, 24)
        + noise(8, 8).tobytes(),
    }


def with_orientation(image, kind, orientation, **options):
    """An encoded image whose EXIF data give an orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return images.encode(image, kind, exif=exif, **options)


def insert_segment(jpeg, marker, contents):
    """A JPEG with one more segment after its start."""
    length = struct.pack(">H", len(contents) + 2)
    return jpeg[:2] + bytes([0xFF, marker]) + length + contents + jpeg[2:]


def _valid():
    rgb = Image.fromarray(noise())
    palette = rgb.convert("P")
    rgba = Image.fromarray(noise(channels=4))
    jpeg = {"quality": 90}
    frames = [palette.rotate(90 * n) for n in range(3)]
    return {
        **_all_pngs(),
        "png_many_chunks": png_of(noise(), 8, 2, pieces=700),
        "gif": images.encode(palette, "GIF"),
        "gif_gray": images.encode(rgb.convert("L"), "GIF"),
        "gif_interlaced": images.encode(palette, "GIF", interlace=1),
        "gif_transparent": gif_of(palette, transparent=palette.getpixel((3, 3))),
        "gif_small_blocks": gif_of(palette, blocks=7),
        "gif_in_a_canvas": gif_of(palette, canvas=(60, 70), corner=(5, 9)),
        "gif_animated": images.encode(
            frames[0], "GIF", save_all=True, append_images=frames[1:], loop=0
        ),
        "bmp": images.encode(rgb, "BMP"),
        "bmp_gray": images.encode(rgb.convert("L"), "BMP"),
        "bmp_palette": images.encode(palette, "BMP"),
        "bmp_32_bits": images.encode(rgba, "BMP"),
        "bmp_alpha": bmp_of(noise(channels=4)),
        "bmp_alpha_top_down": bmp_of(noise(channels=4), top_down=True),
        "bmp_alpha_short_header": bmp_of(noise(channels=4), header=56),
        "jpeg": images.encode(smooth(), "JPEG", **jpeg),
        "jpeg_gray": images.encode(smooth().convert("L"), "JPEG", **jpeg),
        "jpeg_progressive": images.encode(smooth(), "JPEG", progressive=True, **jpeg),
        "jpeg_subsampled": images.encode(smooth(), "JPEG", subsampling=2, **jpeg),
        "jpeg_restarts": images.encode(smooth(), "JPEG", restart_marker_blocks=1),
        "jpeg_upright": with_orientation(smooth(), "JPEG", 1, **jpeg),
    }


# What the exported graph decodes to the pixels of preparation.
VALID = _valid()

# What preparation and `predict` read, and the exported graph refuses or reads otherwise.
OTHERWISE = {
    "bmp_1_bit": images.encode(Image.fromarray(noise()).convert("1"), "BMP"),
    **_packed_bmps(),
    "bmp_other_masks": bmp_of(noise(channels=4), (0xFF, 0xFF00, 0xFF0000, 0xFF000000)),
    "webp": images.encode(smooth(), "WEBP"),
    "webp_lossless": images.encode(Image.fromarray(noise()), "WEBP", lossless=True),
    "webp_alpha": images.encode(
        Image.fromarray(noise(channels=4)), "WEBP", lossless=True, exact=True
    ),
    "webp_animated": images.encode(
        smooth(), "WEBP", save_all=True, append_images=[smooth().rotate(90)]
    ),
    "gzip_jpeg": gzip.compress(VALID["jpeg"]),
    "gzip_png": gzip.compress(VALID["png_6_8"]),
    "jpeg_cmyk": images.encode(smooth(mode="CMYK"), "JPEG"),
    **{
        f"{kind.lower()}_turned_{n}": with_orientation(smooth(), kind, n)
        for kind in ("JPEG", "PNG", "WEBP")
        for n in range(2, 9)
    },
}


def _with_metadata():
    base = png_of(noise(), 8, 2)
    ihdr, rest = base[:33], base[33:]

    def before(kind, data=b""):
        return ihdr + chunk(kind, data) + rest

    def after(kind, data=b""):
        return base[:-12] + chunk(kind, data) + base[-12:]

    text = zlib.compress(bytes(3_000_000), 9)
    gama = bytearray(chunk(b"gAMA", b"\0\1\x86\xa0"))
    gama[-1] ^= 1
    jpeg = VALID["jpeg"]
    exif = b"Exif\0\0"
    marks = b"\xff\xda" * 5000
    gif = VALID["gif"]
    table = 13 + (3 << (gif[10] & 7) + 1)

    def extended(extension):
        return b"GIF89a" + gif[6:table] + extension + gif[table:]

    return {
        "png": {
            "large text": before(b"zTXt", b"c\0\0" + text),
            "large international text": before(b"iTXt", b"c\0\1\0\0\0" + text),
            "a thousand large texts": ihdr
            + chunk(b"zTXt", b"c\0\0" + text) * 1000
            + rest,
            "broken text": before(b"zTXt", b"c\0\0broken"),
            "large profile": before(b"iCCP", b"p\0\0" + text),
            "broken profile": before(b"iCCP", b"p\0\0broken"),
            "short gamma": before(b"gAMA", b"\0"),
            "gamma": before(b"gAMA", struct.pack(">I", 100_000)),
            "gamma with a wrong checksum": ihdr + bytes(gama) + rest,
            "chromaticities": before(b"cHRM", bytes(range(32))),
            "broken exif": before(b"eXIf", b"not a TIFF file"),
            "broken exif after the pixels": after(b"eXIf", b"II*\0\xff\xff\xff\xff"),
            "palette that is not used": before(b"PLTE", bytes(range(99))),
            "transparency that does not fit": before(b"tRNS", b"\0"),
            "animation": before(b"acTL", bytes(8)),
            "frames": after(b"fdAT", b"\0\0\0\1broken"),
            "unknown chunk": before(b"npRv", b"\0\0\0@\0\0\0@" + bytes(5)),
            "unknown critical chunk after the pixels": after(b"ABCD", b"x"),
            "no end": base[:-12],
            "something after the end": base + b"\x89PNG\r\n\x1a\n" + marks,
        },
        "jpeg": {
            "comment": insert_segment(jpeg, 0xFE, marks),
            "broken exif": insert_segment(jpeg, 0xE1, exif + b"II*\0\xff\xff\xff\x7f"),
            "exif that is no TIFF": insert_segment(jpeg, 0xE1, exif + b"junk"),
            "empty exif": insert_segment(jpeg, 0xE1, exif),
            "thumbnail": insert_segment(jpeg, 0xE1, exif + jpeg[:20_000]),
            "broken profile": insert_segment(jpeg, 0xE2, b"ICC_PROFILE\0\7\1junk"),
            "broken list of images": insert_segment(jpeg, 0xE2, b"MPF\0II*\0\xff\xff"),
            "short JFIF": insert_segment(jpeg, 0xE0, b"JFIF\0"),
            "short Adobe": insert_segment(jpeg, 0xEE, b"Adobe"),
            "Photoshop": insert_segment(jpeg, 0xED, b"Photoshop 3.0\0" + b"8BIM\xff"),
            "video after the end": jpeg + marks,
            "second image after the end": jpeg + VALID["jpeg_progressive"],
            "fill bytes": jpeg[:2] + b"\xff" * 30 + jpeg[2:],
        },
        "bmp": {
            "two bytes after the end": VALID["bmp"] + b"\0\0",
            "profile after the pixels": VALID["bmp"] + bytes(3000),
        },
        "gif": {
            "comment": extended(b"\x21\xfe\xff" + bytes(255) + b"\0"),
            "many comments": extended(b"\x21\xfe\1x\0" * 4000),
            "broken application": extended(b"\x21\xff\x03abc\x01\0\0"),
            "something after the end": gif + marks,
        },
    }


WITH_METADATA = _with_metadata()
WITHOUT_METADATA = {
    "png": png_of(noise(), 8, 2),
    "jpeg": VALID["jpeg"],
    "gif": VALID["gif"],
    "bmp": VALID["bmp"],
}

# At bytes 16 to 23, where the size is expected, this chunk has a small one.
_SMALL = chunk(b"npRv", struct.pack(">II", 64, 64) + bytes(5))


def resized_header(kind, height, width):
    """A small image whose header announces another size."""
    data = bytearray(VALID[kind])
    if kind == "jpeg":
        at = data.index(b"\xff\xc0")
        data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    elif kind == "gif":
        data[6:10] = struct.pack("<HH", width, height)
    elif kind == "bmp":
        data[18:26] = struct.pack("<ii", width, height)
    else:
        return png(header(height, width), chunk(b"IDAT", zlib.compress(bytes(99))))
    return bytes(data)


def refused():
    """Files that are refused before a decoder could take time or memory, by name."""
    base = png_of(noise(), 8, 2)
    ihdr, rest = base[:33], base[33:]
    gif = VALID["gif"]
    table = 13 + (3 << (gif[10] & 7) + 1)
    progressive = VALID["jpeg_progressive"]
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    return {
        "empty": b"",
        "text": b"not an image",
        "web page": b"<!DOCTYPE html><html></html>",
        "tiff": images.encode(Image.fromarray(noise()), "TIFF"),
        "avif": images.encode(smooth(), "AVIF"),
        "icon": images.encode(smooth(32, 32), "ICO"),
        "JPEG 2000": images.encode(smooth(), "JPEG2000"),
        "start of a JPEG": b"\xff\xd8\xff",
        "start of a PNG": b"\x89PNG\r\n\x1a\n",
        "start of a GIF": b"GIF89a",
        "start of a BMP": b"BM",
        "PNG that hides its size": black(8000, 8000, first=_SMALL),
        "PNG that hides a strip": black(1_000_000, 1, first=_SMALL),
        "PNG of 64 megapixels": black(8000, 8000),
        "PNG of a phone": png(chunk(b"CgBI", bytes(4)), ihdr[8:], rest[:-12]),
        "PNG with two headers": ihdr + header(9000, 9000) + rest,
        "PNG with an unknown critical chunk": ihdr + chunk(b"ABCD", b"x") + rest,
        "PNG without pixels": ihdr + rest[-12:],
        "PNG that is cut off": base[: len(base) // 2],
        "PNG with a wrong checksum": base[:-14] + bytes([base[-14] ^ 1]) + base[-13:],
        "PNG of many chunks": ihdr
        + b"".join(chunk(b"tEXt", bytes(n % 2)) for n in range(20_002))
        + rest,
        "PNG without a palette": png_of(noise(channels=1), 8, 3),
        "GIF without an image": gif[:table] + b"\x3b",
        "GIF without colors": gif[:10] + b"\0\0\0" + gif[table:],
        "GIF that is cut off": gif[: len(gif) // 2],
        "GIF larger than its canvas": resized_header("gif", 10, 10),
        "GIF of many blocks": gif[:table] + b"\x21\xfe" + b"\1x\2xx" * 20_000 + b"\0",
        "JPEG that is cut off": VALID["jpeg"][:-2],
        "JPEG of many scans": progressive[:-2] + scan * 200 + b"\xff\xd9",
        "JPEG of many segments": VALID["jpeg"][:2]
        + b"\xff\xfe\0\2\xff\xfe\0\3x" * 10_000
        + VALID["jpeg"][2:],
        **{
            f"{kind} of {height} x {width}": resized_header(kind, height, width)
            for kind in ("png_2_8", "jpeg", "gif", "bmp")
            for height, width in ((20_000, 20_000), (1, 40_000), (40_000, 2))
        },
    }
