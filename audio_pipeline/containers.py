"""What the bytes of a file say about themselves, before a decoder is trusted with them.

Here: which format it is *not* (with the remedy), where the header says the data end, and the one header that has to
be completed before libsndfile reads it. libsndfile shortens a cut file without a word, so the sizes are read here.
Not here: decoding, limits and the raising of errors (`clip.py`).
"""

from __future__ import annotations

import codecs
import struct
from typing import Final

# WAV writers that cannot seek back (ffmpeg, sox, arecord into a pipe) leave a size that stands for "unknown": zero,
# all ones, or the largest value of a signed 32-bit integer, rounded down to whole blocks.
_UNKNOWN_SIZE: Final = 0x7FFF0000
# No honest file has more; a hostile one with millions of empty chunks must not cost seconds.
_MAX_CHUNKS: Final = 4096
_W64_DATA: Final = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"

_CONVERT: Final = "Convert it first: ffmpeg -i IN -ar 16000 -ac 1 out.flac"
_FOREIGN: Final[tuple[tuple[int, bytes, str], ...]] = (
    (4, b"ftyp", f"M4A, AAC or MP4, which cannot be read here. {_CONVERT}"),
    (0, b"\x1aE\xdf\xa3", f"Matroska or WebM, which cannot be read here. {_CONVERT}"),
    (0, b"0&\xb2u\x8ef\xcf\x11", f"WMA, which cannot be read here. {_CONVERT}"),
    (0, b"#!AMR", f"AMR, which cannot be read here. {_CONVERT}"),
    (0, b"wvpk", f"WavPack, which cannot be read here. {_CONVERT}"),
    (0, b"MAC ", f"Monkey's Audio, which cannot be read here. {_CONVERT}"),
    # libsndfile's reader of these prints its errors to standard output, one a block.
    (0, b"\xf0\x7e", f"a MIDI sample dump, which cannot be read here. {_CONVERT}"),
    (8, b"AVI ", f"an AVI film, which cannot be read here. {_CONVERT}"),
    (8, b"WEBP", "a WebP picture, no audio."),
    (0, b"\x89PNG", "a PNG picture, no audio."),
    (0, b"\xff\xd8\xff", "a JPEG picture, no audio."),
    (0, b"GIF8", "a GIF picture, no audio."),
    (0, b"%PDF", "a PDF document, no audio."),
    (0, b"PK\x03\x04", "a ZIP archive, no audio. Unpack it and send each clip."),
    (0, b"PK\x05\x06", "an empty ZIP archive, no audio."),
    (0, b"\x1f\x8b", "gzip data, no audio. Unpack it and send the clip."),
    (0, b"7z\xbc\xaf", "a 7-Zip archive, no audio. Unpack it and send each clip."),
    (0, b"Rar!", "a RAR archive, no audio. Unpack it and send each clip."),
)


def foreign_format(data: bytes) -> str | None:
    """Name a format that is not read here, with the remedy.

    Parameters
    ----------
    data
        The whole file.

    Returns
    -------
    str or None
        The end of a sentence that begins with "It is", or None when nothing known is recognised.
    """
    for offset, magic, sentence in _FOREIGN:
        if data.startswith(magic, offset):
            return sentence
    body = _after_id3(data)
    # ADTS: twelve sync bits, then a layer field of 00, which no MP3 frame has.
    if len(data) - body > 7 and data[body] == 0xFF and data[body + 1] & 0xF6 == 0xF0:
        return f"raw AAC (ADTS), which cannot be read here. {_CONVERT}"
    return None


def _after_id3(data: bytes) -> int:
    """Where the data behind an ID3v2 tag begin (0 without a tag)."""
    if not data.startswith(b"ID3") or len(data) < 10:
        return 0
    size = 0
    for byte in data[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size


def is_text(data: bytes) -> bool:
    """Tell whether the file begins like text. Ask after the decoder has refused: a NIST header is text, too.

    Parameters
    ----------
    data
        The whole file.
    """
    try:
        # A multi-byte character may be cut at the end of the excerpt: what is missing of it is no evidence.
        text = codecs.getincrementaldecoder("utf-8")().decode(data[:1024], final=len(data) <= 1024)
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character in "\r\n\t\f\ufeff" for character in text)


def declared_end(data: bytes) -> int | None:
    """Read where the header says the audio data end.

    Understands WAV (RIFF, RIFX, RF64), Wave64, AIFF, AU and CAF. The length of FLAC and MP3 is in samples and is
    compared with what could be decoded, in `clip.py`.

    Parameters
    ----------
    data
        The whole file.

    Returns
    -------
    int or None
        Bytes that the file must have, or None: another format, no size, or one of the sizes that mean "unknown".
    """
    magic = data[:4]
    if magic in (b"RIFF", b"RIFX", b"RF64") and data[8:12] == b"WAVE":
        return _riff_end(data, "<" if magic != b"RIFX" else ">")
    if magic == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
        return _iff_end(data)
    if magic == b".snd" and len(data) >= 12:
        offset, size = struct.unpack_from(">II", data, 4)
        return None if size >= _UNKNOWN_SIZE else int(offset + size)
    if magic == b"caff":
        return _caf_end(data)
    if magic == b"riff" and data[24:28] == b"wave":
        return _w64_end(data)
    return None


def _known(size: int) -> bool:
    return 0 < size < _UNKNOWN_SIZE


def _riff_end(data: bytes, endian: str) -> int | None:
    whole = struct.unpack_from(endian + "I", data, 4)[0]
    long_size: int | None = None
    position = 12
    for _ in range(_MAX_CHUNKS):
        if position + 8 > len(data):
            break
        name, size = data[position : position + 4], struct.unpack_from(endian + "I", data, position + 4)[0]
        if name == b"ds64" and position + 24 <= len(data):
            long_size = struct.unpack_from("<Q", data, position + 16)[0]
        if name == b"data":
            if size == 0xFFFFFFFF and long_size is not None:
                size = long_size
            elif not _known(size):
                return None
            return int(position + 8 + size)
        position += 8 + size + size % 2
    return whole + 8 if _known(whole) else None


def _iff_end(data: bytes) -> int | None:
    position = 12
    for _ in range(_MAX_CHUNKS):
        if position + 8 > len(data):
            break
        name, size = data[position : position + 4], struct.unpack_from(">I", data, position + 4)[0]
        if name == b"SSND":
            return position + 8 + size if _known(size) else None
        position += 8 + size + size % 2
    whole = struct.unpack_from(">I", data, 4)[0]
    return whole + 8 if _known(whole) else None


def _caf_end(data: bytes) -> int | None:
    position = 8
    for _ in range(_MAX_CHUNKS):
        if position + 12 > len(data):
            break
        name, size = data[position : position + 4], struct.unpack_from(">q", data, position + 4)[0]
        if name == b"data" or size < 0:
            return position + 12 + size if size >= 0 else None
        position += 12 + size
    # CAF has no size of the whole: a chunk that points behind the end is all there is to go by.
    return position if position > len(data) else None


def _w64_end(data: bytes) -> int | None:
    position = 40
    for _ in range(_MAX_CHUNKS):
        if position + 24 > len(data):
            break
        size = struct.unpack_from("<Q", data, position + 16)[0]
        if data[position : position + 16] == _W64_DATA:
            return int(position + size)
        position += max(24, size + -size % 8)
    return int(struct.unpack_from("<Q", data, 16)[0]) if len(data) >= 24 else None


def ends_mid_stream(data: bytes) -> bool:
    """Tell whether an Ogg file stops inside a page or before its end-of-stream page.

    Parameters
    ----------
    data
        The whole file; anything but Ogg is False.
    """
    position, last_page = 0, False
    while data.startswith(b"OggS", position):
        if position + 27 > len(data):
            return True
        segments = data[position + 26]
        last_page = bool(data[position + 5] & 4)
        position += 27 + segments + sum(data[position + 27 : position + 27 + segments])
    return position > len(data) or (position > 0 and not last_page)


def with_known_length(data: bytes) -> bytes:
    """Complete a WAV header whose data size was left at zero, as writers into a pipe and killed recorders do.

    libsndfile reads the other sizes that mean "unknown", and takes a zero at its word.

    Parameters
    ----------
    data
        The whole file.

    Returns
    -------
    bytes
        The same object when nothing has to be done.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE" or abs(struct.unpack_from("<I", data, 4)[0] + 8 - len(data)) <= 1:
        return data
    position = 12
    for _ in range(_MAX_CHUNKS):
        if position + 8 > len(data):
            break
        name, size = data[position : position + 4], struct.unpack_from("<I", data, position + 4)[0]
        if name == b"data":
            rest = len(data) - position - 8
            if size or not rest:
                break
            return b"".join((data[: position + 4], struct.pack("<I", rest), data[position + 8 :]))
        position += 8 + size + size % 2
    return data
