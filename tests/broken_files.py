"""Broken files, each made on purpose: what a service that listens to strangers will be sent.

    python tests/broken_files.py OUT_DIR        writes them all, and codes.csv with the refusal expected of each

Deterministic: the same bytes on every run, but for the serial number that libsndfile gives an Ogg stream.
Not here: the refusals themselves (`audio_pipeline/clip.py`).
"""

from __future__ import annotations

import csv
import io
import json
import struct
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE = 16_000


def sound(seconds: float = 2.0, rate: int = RATE, channels: int = 1) -> NDArray[np.float32]:
    """Make noise with a tone: float32[n, channels], the same on every call."""
    random = np.random.default_rng(14)
    time = np.arange(int(seconds * rate))[:, np.newaxis] / rate
    noise = 0.05 * random.standard_normal((len(time), channels))
    return (noise + 0.1 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)


def encode(samples: NDArray[np.generic], rate: int, container: str, subtype: str | None = None) -> bytes:
    """Encode in any format that libsndfile writes."""
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format=container, subtype=subtype)
    return out.getvalue()


def wav(
    data: bytes,
    rate: int = RATE,
    channels: int = 1,
    bits: int = 16,
    kind: int = 1,
    data_size: int | None = None,
    riff_size: int | None = None,
) -> bytes:
    """Put a WAV header, true or lying, before `data`."""
    block = channels * bits // 8
    header = struct.pack("<HHIIHH", kind, channels, rate, rate * block & 0xFFFFFFFF, block & 0xFFFF, bits)
    return b"".join(
        (
            b"RIFF",
            struct.pack("<I", 36 + len(data) if riff_size is None else riff_size),
            b"WAVEfmt ",
            struct.pack("<I", len(header)),
            header,
            b"data",
            struct.pack("<I", len(data) if data_size is None else data_size),
            data,
        )
    )


def flac_with_length(flac: bytes, samples: int) -> bytes:
    """Overwrite the 36-bit count of samples in STREAMINFO; 0 means unknown."""
    changed = bytearray(flac)
    changed[21] = changed[21] & 0xF0 | samples >> 32
    changed[22:26] = struct.pack(">I", samples & 0xFFFFFFFF)
    return bytes(changed)


def float_wav(samples: NDArray[np.floating]) -> bytes:
    """Write IEEE float as it stands: libsndfile would put the time of day into the file."""
    bits = samples.itemsize * 8
    return wav(samples.tobytes(), channels=samples.shape[1], bits=bits, kind=3)


def _with(samples: NDArray[np.float32], at: int, value: float) -> NDArray[np.float32]:
    changed = samples.copy()
    changed[at] = value
    return changed


def _zip(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("clip.wav"), content)
    return out.getvalue()


def _png() -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    pixels = zlib.compress(b"\0\x7f" * 8)
    head = struct.pack(">IIBBBBB", 1, 8, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def _adts() -> bytes:
    frame = b"\xff\xf1\x60\x40\x17\xff\xfc" + bytes(range(180))
    return frame * 40


def make_broken_files() -> dict[str, tuple[bytes, str]]:
    """Make every broken file.

    Returns
    -------
    dict
        File name → (bytes, `code` of the refusal expected).
    """
    return {**_not_audio(), **_cut(), **_bad_samples(), **_bad_sizes(), **_bombs()}


def _not_audio() -> dict[str, tuple[bytes, str]]:
    random = np.random.default_rng(40)
    pcm = encode(sound(), RATE, "WAV", "PCM_16")[44:]
    files = {
        "text.wav": b"This is no sound at all.\n" * 400,
        "one_byte.wav": b"R",
        "base64.wav": b"UklGRiR3AQBXQVZFZm10IBAAAAABAAEA" * 200,
        "page.html": b"<!doctype html><title>404</title><p>Not found</p>",
        "answer.json": json.dumps({"audio_base64": "UklGRg=="}).encode(),
        "utf16.txt": "kein Ton, nur Text".encode("utf-16"),
        "picture.png": _png(),
        "picture.jpg": b"\xff\xd8\xff\xe0\0\x10JFIF\0" + random.bytes(2000),
        "paper.pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + random.bytes(2000),
        "clip.zip": _zip(wav(pcm)),
        "clip.wav.gz": b"\x1f\x8b\x08\0\0\0\0\0" + zlib.compress(wav(pcm)),
        "voice_memo.m4a": struct.pack(">I", 28) + b"ftypM4A \0\0\0\0M4A mp42isom" + random.bytes(4000),
        "film.mp4": struct.pack(">I", 24) + b"ftypisom\0\0\2\0isomavc1" + random.bytes(4000),
        "stream.aac": _adts(),
        "stream_id3.aac": b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + _adts(),
        "film.webm": b"\x1aE\xdf\xa3" + random.bytes(4000),
        "film.avi": b"RIFF" + struct.pack("<I", 4000) + b"AVI " + random.bytes(4000),
        "random_bytes.wav": random.bytes(50_000),
        "zeros.wav": bytes(50_000),
        "ones.mp3": b"\xff" * 50_000,
        "mp3_sync_then_noise.mp3": b"\xff\xfb\x90\0" + random.bytes(50_000),
        "id3_then_noise.mp3": b"ID3\x03\0\0\0\0\0\0" + random.bytes(20_000),
        "wrong_magic.wav": b"RIFX" + wav(pcm)[4:8] + b"EVAW" + wav(pcm)[12:],
        "wrong_magic.flac": b"fLaX" + encode(sound(), RATE, "FLAC")[4:],
        "magic_only.flac": b"fLaC",
        "magic_then_noise.flac": b"fLaC" + random.bytes(5000),
        "magic_then_noise.ogg": b"Oggs" + random.bytes(5000),
        "format_999.wav": wav(pcm, kind=999),
        "bits_0.wav": wav(pcm, bits=0),
        "bits_9999.wav": wav(pcm, bits=9999),
        "rate_0.wav": wav(pcm, rate=0),
        "channels_0.wav": wav(pcm, channels=0),
    }
    return {name: (data, "not_audio") for name, data in files.items()}


def _cut() -> dict[str, tuple[bytes, str]]:
    files = {}
    for name, container, subtype in (
        ("wav", "WAV", "PCM_16"),
        ("rf64", "RF64", "PCM_24"),
        ("w64", "W64", "PCM_16"),
        ("aiff", "AIFF", "PCM_16"),
        ("au", "AU", "PCM_16"),
        ("caf", "CAF", "PCM_16"),
        ("flac", "FLAC", "PCM_16"),
        ("ogg", "OGG", "VORBIS"),
        ("opus", "OGG", "OPUS"),
        ("mp3", "MP3", None),
    ):
        whole = encode(sound(), RATE, container, subtype)
        for share in (30, 75, 99):
            files[f"cut_at_{share}.{name}"] = whole[: len(whole) * share // 100]
    flac = encode(sound(), RATE, "FLAC")
    files["cut_in_header.wav"] = wav(encode(sound(), RATE, "WAV", "PCM_16")[44:])[:30]
    files["cut_by_one_sample.wav"] = wav(bytes(range(250)) * 100)[:-2]
    files["damaged_middle.flac"] = flac[: len(flac) // 2] + bytes(300) + flac[len(flac) // 2 + 300 :]
    files["cut_without_length.flac"] = flac_with_length(flac, 0)[: len(flac) // 2]
    files["length_too_high.flac"] = flac_with_length(flac, 60_000)
    files["huge_header.wav"] = wav(bytes(range(250)) * 100, data_size=0x4000_0000, riff_size=0x4000_0024)
    return {name: (data, "truncated") for name, data in files.items()}


def _bad_samples() -> dict[str, tuple[bytes, str]]:
    silent = np.zeros(2 * RATE, dtype=np.float32)
    opposed = np.repeat(sound(), 2, axis=1) * np.array([1, -1], dtype=np.float32)
    return {
        "nan.wav": (float_wav(_with(sound(), 5000, np.nan)), "not_finite"),
        "nan_at_the_end.wav": (float_wav(_with(sound(), -1, np.nan)), "not_finite"),
        "nan_in_channel_8.wav": (float_wav(_with(sound(channels=8), 77, np.nan)), "not_finite"),
        "infinity.wav": (float_wav(_with(sound(), 5000, np.inf)), "not_finite"),
        "minus_infinity.au": (encode(_with(sound(), 0, -np.inf), RATE, "AU", "FLOAT"), "not_finite"),
        "garbage_floats.wav": (float_wav(_with(sound(), 300, 1e30)), "not_finite"),
        "beyond_float32.wav": (float_wav(sound().astype(np.float64) * 1e300), "not_finite"),
        "silent.wav": (encode(silent, RATE, "WAV", "PCM_16"), "silent"),
        "silent.flac": (encode(silent, RATE, "FLAC"), "silent"),
        "silent_48k.mp3": (encode(np.zeros(96_000, dtype=np.float32), 48_000, "MP3"), "silent"),
        "last_bit_only.wav": (wav(b"\0\0\1\0" * RATE), "silent"),
        "opposed_channels.wav": (encode(opposed, RATE, "WAV", "PCM_16"), "silent"),
    }


def _bad_sizes() -> dict[str, tuple[bytes, str]]:
    long = np.tile(sound(), (301, 1))
    return {
        "zero_bytes.wav": (b"", "empty"),
        "header_only.wav": (wav(b""), "empty"),
        "header_only.aiff": (encode(sound(0.0), RATE, "AIFF", "PCM_16"), "empty"),
        "one_sample.wav": (wav(b"\1\2"), "too_short"),
        "a_tenth_of_a_second.wav": (encode(sound(0.1), RATE, "WAV", "PCM_16"), "too_short"),
        "just_too_short_192k.flac": (encode(sound(0.2499, 192_000), 192_000, "FLAC"), "too_short"),
        "ten_minutes_and_two_seconds.wav": (encode(long, RATE, "WAV", "PCM_16"), "too_long"),
        "ten_minutes_and_two_seconds.mp3": (encode(long, RATE, "MP3"), "too_long"),
        "51_mib.wav": (wav(bytes(51 * 2**20)), "too_large"),
        "rate_4k.wav": (encode(sound(2.0, 4_000), 4_000, "WAV", "PCM_16"), "unsupported_format"),
        "rate_384k.wav": (encode(sound(0.5, 384_000), 384_000, "WAV", "PCM_16"), "unsupported_format"),
        "rate_2_billion.wav": (wav(bytes(range(250)) * 100, rate=2_000_000_000), "unsupported_format"),
        "channels_33.wav": (encode(sound(channels=33), RATE, "WAV", "PCM_16"), "unsupported_format"),
        "channels_1024.wav": (wav(bytes(2048) * 100, channels=1024), "unsupported_format"),
    }


def _bombs() -> dict[str, tuple[bytes, str]]:
    hours = encode(np.zeros(8_000 * 3600 * 3, dtype=np.int16), 8_000, "FLAC")
    wide = encode(np.zeros((96_000 * 180, 8), dtype=np.int16), 96_000, "FLAC")
    return {
        "three_hours_of_silence.flac": (hours, "too_long"),
        "three_hours_without_length.flac": (flac_with_length(hours, 0), "too_long"),
        "three_hours_said_to_be_nine_minutes.flac": (flac_with_length(hours, 8_000 * 540), "silent"),
        "a_year_in_the_header.flac": (flac_with_length(encode(sound(), RATE, "FLAC"), 2**36 - 1), "too_long"),
        "three_minutes_of_8_channels_at_96k.flac": (flac_with_length(wide, 0), "too_large"),
    }


def main(folder: Path) -> None:
    """Write the files and `codes.csv` (file,code) into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "codes.csv").open("w", newline="", encoding="utf-8") as table:
        writer = csv.writer(table)
        writer.writerow(["file", "code"])
        for name, (data, code) in make_broken_files().items():
            (folder / name).write_bytes(data)
            writer.writerow([name, code])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tests/broken_files.py OUT_DIR")
    main(Path(sys.argv[1]))
