"""Bytes → `Clip`: 16 kHz mono float32, and every reason to refuse a file.

Order of use: `read(path)` or `decode(bytes)`; `to_flac` and `to_wav` go the other way (clip store, browser).
Decoding streams: blocks of the native channels are measured for the sensor check, mixed to mono, resampled and
dropped, so that memory holds the bytes sent and the mono result only. Samples are counted while they are decoded,
because headers lie and some formats state no length.
Not here: what the bytes say before decoding (`containers.py`), judging the microphone (`sensor.py`), windows.
"""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from audio_pipeline.containers import declared_end, ends_mid_stream, foreign_format, is_text, with_known_length
from audio_pipeline.errors import (
    ClipError,
    EmptyClip,
    NotAudio,
    NotFinite,
    Silent,
    TooLarge,
    TooLong,
    TooShort,
    Truncated,
    UnsupportedFormat,
)
from audio_pipeline.sensor import SensorEvidence, SensorProbe

SAMPLE_RATE: Final = 16_000
"""Samples a second of everything behind the decoder."""
SILENCE_PEAK: Final = 2.0**-15
"""One step of 16 bits: a clip that never leaves it holds no sound."""

LARGEST_SAMPLE: Final = 2.0**32
"""Float files are accepted in any integer scale; beyond it lies damage, and float32 overflows in a power spectrum."""

_FORMATS: Final = "WAV, FLAC, OGG, MP3 or AIFF"
# Values (frames × channels) a block. Fixed, because the resampler's rounding depends on where blocks end.
_BLOCK_VALUES: Final = 1 << 18
# libsndfile states a length near 2^63 when the header states none.
_NO_LENGTH: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class ClipLimits:
    """What is accepted.

    Attributes
    ----------
    min_s, max_s
        Length in seconds.
    max_bytes
        Size of the file as sent.
    max_decoded_bytes
        Native channels as float32, counted while decoding. 512 MiB is ten minutes of stereo at 96 kHz or of
        8 channels at 27 kHz: what unpacks to more within `max_bytes` has under 3.2 bits a sample, which next to
        nothing but a decompression bomb has, and would cost a core for seconds.
    min_rate, max_rate
        Samples a second.
    min_channels, max_channels
        Channels.
    """

    min_s: float = 0.25
    max_s: float = 600.0
    max_bytes: int = 50 * 1024 * 1024
    max_decoded_bytes: int = 512 * 1024 * 1024
    min_rate: int = 8_000
    max_rate: int = 192_000
    min_channels: int = 1
    max_channels: int = 32


@dataclass(frozen=True, eq=False, slots=True)
class Clip:
    """A decoded clip.

    Attributes
    ----------
    samples
        float32[n], mono, 16 kHz, read-only; may exceed ±1 when the file did.
    duration_s
        Length of the file in seconds.
    native_rate, channels
        As in the file.
    sha256
        Hex digest of the bytes.
    sensor
        What the microphone looked like, per native channel: `sensor.check` judges it.
    """

    samples: NDArray[np.float32]
    duration_s: float
    native_rate: int
    channels: int
    sha256: str
    sensor: SensorEvidence


DEFAULT_LIMITS: Final = ClipLimits()
ACCEPTED_BEFORE: Final = ClipLimits(min_s=0.0, max_s=1e6, max_bytes=1 << 40, max_decoded_bytes=1 << 40)
"""For stored clips: what was accepted once can be read, whatever is accepted today."""


def read(path: Path | str, limits: ClipLimits = DEFAULT_LIMITS) -> Clip:
    """Read and decode a file.

    Parameters
    ----------
    path
        The file.
    limits
        What is accepted.

    Raises
    ------
    ClipError
        As `decode`; also when the file does not exist or cannot be read.
    """
    path = Path(path)
    try:
        data = bytes_of(path, limits)
    except OSError as error:
        raise ClipError(f"{path} cannot be read: {error.strerror or error}. Check the path.") from None
    return decode(data, limits, str(path))


def bytes_of(path: Path, limits: ClipLimits = DEFAULT_LIMITS) -> bytes:
    """Read a file's bytes, at most one more than accepted: enough to refuse it, however large it is.

    Raises
    ------
    OSError
        It does not exist or cannot be read.
    """
    with path.open("rb") as file:
        # As much room as is asked for is set aside before anything is read; a pipe has no size.
        size = os.fstat(file.fileno()).st_size or limits.max_bytes
        return file.read(min(size, limits.max_bytes) + 1)


def decode(data: bytes, limits: ClipLimits = DEFAULT_LIMITS, filename: str | None = None) -> Clip:
    """Decode the bytes of an audio file.

    The same bytes give the same samples, whichever way they came.

    Parameters
    ----------
    data
        The whole file, in any format that libsndfile reads.
    limits
        What is accepted.
    filename
        Named in refusals, for the reader's sake; the format is told from the bytes alone.

    Raises
    ------
    ClipError
        One of its kinds, with a sentence: `EmptyClip`, `NotAudio`, `Truncated`, `NotFinite`, `Silent`, `TooShort`,
        `TooLong`, `TooLarge`, `UnsupportedFormat`.

    Examples
    --------
    >>> tone = np.sin(np.arange(16_000) * 0.1).astype(np.float32)
    >>> clip = decode(to_flac(tone))
    >>> clip.duration_s, clip.channels, len(clip.samples)
    (1.0, 1, 16000)
    """
    name = _shown(filename)
    if not data:
        raise EmptyClip(f"{name} is empty (0 bytes). Send the recording itself, as {_FORMATS}.")
    if len(data) > limits.max_bytes:
        raise TooLarge(
            f"{name} has more than {limits.max_bytes / 2**20:g} MiB, the limit. Send a shorter clip, or FLAC at 16 kHz."
        )
    with _open(data, name) as stream:
        return _decode_stream(stream, data, limits, name)


def _shown(filename: str | None) -> str:
    if not filename:
        return "The clip"
    # A name comes from outside and ends up in logs, pages and e-mails.
    return "".join(character if character.isprintable() else "?" for character in filename)[-120:]


class _Stream(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no type information
    """A sound file read strictly forwards.

    soundfile seeks after every read of a seekable file, which fails for FLAC without a length and decodes twice.
    """

    def seekable(self) -> bool:
        return False


class _Source(io.BytesIO):
    """Bytes for libsndfile: a seek before the start, as broken headers cause, is ignored in place of raising."""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()


def _cut_short(data: bytes, name: str) -> Truncated | None:
    end = declared_end(data)
    if end is not None and end > len(data):
        return Truncated(
            f"{name} ends after {len(data)} bytes; its header says {end}. Copy or record it again, completely."
        )
    if ends_mid_stream(data):
        return Truncated(f"{name} ends in the middle of its Ogg stream. Copy or record it again, completely.")
    return None


def _open(data: bytes, name: str) -> _Stream:
    foreign = foreign_format(data)
    if foreign:
        raise NotAudio(f"{name} cannot be read as audio. It is {foreign}")
    cut = _cut_short(data, name)
    if cut:
        raise cut
    try:
        return _Stream(_Source(with_known_length(data)))
    except (soundfile.SoundFileError, ValueError, TypeError) as error:
        if len(data) > 4 and is_text(data):
            raise NotAudio(
                f"{name} is text, no audio. Was a path, a web page or base64 text sent in place of the file's bytes?"
            ) from None
        raise NotAudio(
            f"{name} cannot be read as audio ({_reason(error)}). Send {_FORMATS}; "
            "if it plays elsewhere, convert it: ffmpeg -i IN -ar 16000 -ac 1 out.flac"
        ) from None


def _reason(error: Exception) -> str:
    """libsndfile's own words, without the Python object in them."""
    text = error.error_string if isinstance(error, soundfile.LibsndfileError) else "no format recognised"
    if "not a regular file" in text:  # libsndfile's number for what mpg123 gave up on
        text = "no MP3 frames found"
    return str(text).removeprefix("Error : ").rstrip(".")


def _decode_stream(stream: _Stream, data: bytes, limits: ClipLimits, name: str) -> Clip:
    rate, channels = int(stream.samplerate), int(stream.channels)
    if not limits.min_rate <= rate <= limits.max_rate:
        raise UnsupportedFormat(
            f"{name} has {rate} samples a second; {limits.min_rate} to {limits.max_rate} are accepted. Resample it."
        )
    if not limits.min_channels <= channels <= limits.max_channels:
        raise UnsupportedFormat(
            f"{name} has {channels} channels; {limits.min_channels} to {limits.max_channels} are accepted. "
            "Send fewer of them."
        )
    stated = int(stream.frames) if 0 < stream.frames < _NO_LENGTH else None
    most = int(limits.max_s * rate)
    if stated is not None and stated > most:
        raise _too_long(name, limits)
    probe = SensorProbe(rate, channels)
    resampler = None if rate == SAMPLE_RATE else soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32")
    pieces: list[NDArray[np.float32]] = []
    frames = 0
    while True:
        block = _next_block(stream, name, frames / rate)
        frames += len(block)
        if frames > most:
            raise _too_long(name, limits)
        if frames * channels * 4 > limits.max_decoded_bytes:
            raise TooLarge(
                f"{name} unpacks to more than {limits.max_decoded_bytes / 2**20:g} MiB of samples, the limit. "
                "Send fewer channels or a lower rate."
            )
        usable = np.abs(block) <= LARGEST_SAMPLE  # false for NaN, too
        if not usable.all():
            at_s = (frames - len(block) + int(usable.all(axis=1).argmin())) / rate
            raise NotFinite(
                f"{name} holds samples that are no numbers (NaN, infinity or beyond {LARGEST_SAMPLE:.0e}), "
                f"the first at {at_s:.3f} s. Record or convert it again; full scale is ±1."
            )
        mono = block[:, 0] if channels == 1 else block.mean(axis=1, dtype=np.float64).astype(np.float32)
        last = not len(block)
        piece = mono if resampler is None else resampler.resample_chunk(np.ascontiguousarray(mono), last=last)
        probe.add(block, piece)
        pieces.append(piece)
        if last:
            break
    if not frames:
        raise EmptyClip(f"{name} has a header and no samples. Send a recording of {limits.min_s:g} s or more.")
    if stated is not None and frames < stated:
        raise Truncated(
            f"{name} breaks off after {frames / rate:.2f} s; its header says {stated / rate:.2f} s. "
            "Copy or record it again, completely."
        )
    if frames < limits.min_s * rate:
        raise TooShort(f"{name} lasts {frames / rate:.4g} s; {limits.min_s:g} s is the least that can be judged.")
    samples = np.concatenate(pieces)
    evidence = probe.evidence()
    _refuse_silence(samples, evidence, name)
    samples.flags.writeable = False
    return Clip(samples, frames / rate, rate, channels, hashlib.sha256(data).hexdigest(), evidence)


def _too_long(name: str, limits: ClipLimits) -> TooLong:
    return TooLong(f"{name} lasts longer than {limits.max_s:g} s, the limit. Cut it into shorter clips.")


def _next_block(stream: _Stream, name: str, at_s: float) -> NDArray[np.float32]:
    """float32[frames, channels], empty at the end."""
    try:
        block: NDArray[np.float32] = stream.read(
            max(1, _BLOCK_VALUES // stream.channels), dtype="float32", always_2d=True
        )
    except soundfile.SoundFileError as error:
        raise Truncated(
            f"{name} cannot be decoded beyond {at_s:.2f} s ({_reason(error)}): it is cut off or damaged. "
            "Copy or record it again, completely."
        ) from None
    return block


def _refuse_silence(samples: NDArray[np.float32], evidence: SensorEvidence, name: str) -> None:
    if float(np.abs(samples).max(initial=0.0)) > SILENCE_PEAK:
        return
    if max(evidence.peak) > SILENCE_PEAK:
        raise Silent(f"{name} is silent once mixed to mono at 16 kHz: its channels cancel. Send one of them.")
    raise Silent(f"{name} is silent: no sample is above {SILENCE_PEAK:.0e} of full scale. Is the microphone connected?")


def to_wav(samples: NDArray[np.float32]) -> bytes:
    """Encode as 16-bit WAV, 16 kHz mono, which any browser plays.

    Parameters
    ----------
    samples
        float32[n]; what goes beyond ±1 is turned down to full scale as a whole: it is the same sound.
    """
    return _encode(samples, "WAV")


def to_flac(samples: NDArray[np.float32]) -> bytes:
    """Encode as 16-bit FLAC, 16 kHz mono: the clip store's format.

    Decoding the result and encoding it again gives the same samples.

    Parameters
    ----------
    samples
        float32[n]; what goes beyond ±1 is turned down to full scale as a whole: it is the same sound.
    """
    return _encode(samples, "FLAC")


def _encode(samples: NDArray[np.float32], container: str) -> bytes:
    peak = max(1.0, float(np.abs(samples).max(initial=0.0)))
    steps = np.clip(np.rint(samples.astype(np.float64) * (32768.0 / peak)), -32768, 32767).astype(np.int16)
    out = io.BytesIO()
    soundfile.write(out, steps, SAMPLE_RATE, format=container, subtype="PCM_16")
    return out.getvalue()
