"""Bytes become 16 kHz mono, the same whichever way they came, or are refused with a sentence."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audio_pipeline import errors
from audio_pipeline.clip import Clip, ClipLimits, decode, read, to_flac, to_wav
from tests.broken_files import RATE, encode, flac_with_length, sound, wav

FORMATS = [
    ("WAV", "PCM_U8"),
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "FLOAT"),
    ("WAV", "DOUBLE"),
    ("WAV", "ULAW"),
    ("WAVEX", "PCM_16"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("AU", "PCM_16"),
    ("CAF", "PCM_16"),
    ("NIST", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", None),
]


@pytest.mark.parametrize(("container", "subtype"), FORMATS)
def test_every_format_gives_the_same_sound(container, subtype):
    clip = decode(encode(sound(), RATE, container, subtype))
    assert clip.duration_s == pytest.approx(2.0, abs=0.01)
    assert clip.samples.dtype == np.float32
    difference = clip.samples[: 2 * RATE] - sound()[: len(clip.samples), 0]
    # Lossy codecs replace the noise by other noise of the same strength; the tone stays.
    assert np.sqrt((difference**2).mean()) < 0.06
    assert np.corrcoef(clip.samples[: 2 * RATE], sound()[: len(clip.samples), 0])[0, 1] > 0.8


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_every_rate_becomes_16_khz(rate):
    time = np.arange(3 * rate) / rate
    clip = decode(encode(0.5 * np.sin(2 * np.pi * 1000 * time), rate, "WAV", "FLOAT"))
    assert (clip.native_rate, clip.duration_s) == (rate, 3.0)
    assert abs(len(clip.samples) - 3 * RATE) <= 1
    expected = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(len(clip.samples)) / RATE)
    inner = slice(RATE // 10, -RATE // 10)
    assert np.abs(clip.samples[inner] - expected[inner]).max() < 1e-3


@pytest.mark.parametrize("channels", [1, 2, 8, 32])
def test_channels_are_mixed_to_their_mean(channels):
    samples = sound(channels=channels)
    clip = decode(encode(samples, RATE, "WAV", "FLOAT"))
    assert clip.channels == channels
    np.testing.assert_allclose(clip.samples, samples.mean(axis=1), atol=1e-6)


def test_a_clip_carries_the_hash_of_its_bytes():
    data = to_flac(sound()[:, 0])
    assert decode(data).sha256 == hashlib.sha256(data).hexdigest()


def test_a_clip_cannot_be_changed():
    clip = decode(to_wav(sound()[:, 0]))
    with pytest.raises(ValueError, match="read-only"):
        clip.samples[0] = 1
    with pytest.raises(AttributeError):
        clip.duration_s = 1  # type: ignore[misc]


def test_file_and_bytes_give_the_same_samples_to_the_bit(tmp_path: Path):
    data = encode(sound(30, 44_100, 2), 44_100, "FLAC")
    (tmp_path / "clip.flac").write_bytes(data)
    clips: list[Clip] = [decode(data), decode(data, filename="x.mp3"), read(tmp_path / "clip.flac")]
    assert len({clip.samples.tobytes() for clip in clips}) == 1


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0x80000000])
@pytest.mark.parametrize("riff_size", [0, 36, 0xFFFFFFFF])
def test_wav_from_a_pipe_needs_no_size(size, riff_size):
    pcm = to_wav(sound()[:, 0])[44:]
    clip = decode(wav(pcm, data_size=size, riff_size=riff_size))
    assert clip.samples.tobytes() == decode(wav(pcm)).samples.tobytes()


def test_flac_without_a_length_is_read_to_its_end():
    flac = to_flac(sound(20)[:, 0])
    assert decode(flac_with_length(flac, 0)).samples.tobytes() == decode(flac).samples.tobytes()


def test_chunks_around_the_data_do_not_matter():
    pcm = to_wav(sound()[:, 0])[44:]
    plain = wav(pcm)
    extra = b"LIST" + struct.pack("<I", 18) + b"INFOICMT" + struct.pack("<I", 5) + b"hello\0"
    both = plain[:12] + extra + plain[12:] + extra
    both = both[:4] + struct.pack("<I", len(both) - 8) + both[8:]
    assert decode(both).samples.tobytes() == decode(plain).samples.tobytes()
    # Cut in the trailing text: the sound is complete.
    assert decode(both[:-5]).duration_s == 2.0


@pytest.mark.parametrize("scale", [100, 2**15, 2**31])
def test_float_samples_beyond_full_scale_are_kept(scale):
    plain, large = (decode(encode(sound() * factor, RATE, "WAV", "FLOAT")) for factor in (1, scale))
    np.testing.assert_allclose(large.samples, plain.samples * scale, rtol=1e-6)


@pytest.mark.parametrize("seconds", [0.25, 600.0])
def test_the_limits_themselves_are_accepted(seconds):
    assert decode(to_flac(np.resize(sound()[:, 0], int(seconds * RATE)))).duration_s == seconds


def test_limits_can_be_set():
    data = to_flac(sound()[:, 0])
    with pytest.raises(errors.TooLong, match="1 s"):
        decode(data, ClipLimits(max_s=1))
    with pytest.raises(errors.TooShort, match="3 s"):
        decode(data, ClipLimits(min_s=3))
    with pytest.raises(errors.TooLarge, match="limit"):
        decode(data, ClipLimits(max_bytes=1000))


def test_a_refusal_names_the_file_on_one_line():
    with pytest.raises(errors.NotAudio) as refusal:
        decode(b"no sound in here", filename="evil\n\x1b[31mname.wav")
    assert refusal.value.message.startswith("evil??[31mname.wav is text")


@pytest.mark.parametrize("shift", range(4))
def test_text_of_characters_of_several_bytes_is_told_from_sound(shift):
    with pytest.raises(errors.NotAudio, match="is text"):
        decode(b"x" * shift + "é€𝄞".encode() * 400)


@pytest.mark.parametrize("name", ["missing.wav", "."])
def test_an_unreadable_path_is_refused_with_its_name(tmp_path: Path, name):
    with pytest.raises(errors.ClipError, match="cannot be read"):
        read(tmp_path / name)


@pytest.mark.parametrize("back", [to_wav, to_flac])
@pytest.mark.parametrize("scale", [10, 2**15])
def test_stored_clips_beyond_full_scale_are_the_same_sound(back, scale):
    stored = decode(back(sound()[:, 0] * np.float32(scale))).samples
    assert np.abs(stored).max() == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(stored, sound()[:, 0] / np.abs(sound()).max(), atol=1e-4)


@pytest.mark.parametrize("back", [to_wav, to_flac])
def test_stored_clips_are_stable(back):
    once = back(np.concatenate((sound()[:, 0] * 4, np.float32([1.0, -1.0, 2.0, -2.0]))))
    assert back(decode(once).samples) == once


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    whole=st.sampled_from([encode(sound(0.5), RATE, *kind) for kind in FORMATS]),
    cut=st.floats(0, 1),
    damage=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=12),
)
def test_damaged_bytes_give_a_clip_or_a_refusal_and_nothing_else(whole, cut, damage):
    data = bytearray(whole[: int(len(whole) * cut) if cut < 0.9 else len(whole)])
    for place, value in damage:
        if data:
            # Headers are where damage hurts: half of it goes into the first 100 bytes.
            data[int(place * len(data)) if value % 2 else int(place * min(100, len(data)))] = value
    try:
        clip = decode(bytes(data))
    except errors.ClipError:
        return
    assert np.isfinite(clip.samples).all()


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=2000), st.sampled_from([b"", b"RIFF", b"fLaC", b"OggS", b"FORM", b"\xff\xfb", b"caff", b".snd"])
)
def test_random_bytes_are_refused(data, magic):
    with pytest.raises(errors.ClipError):
        decode(magic + data)


def test_a_long_wide_stream_is_never_held_whole(tmp_path: Path):
    # 8 channels of 50 s at 192 kHz: 307 MB once decoded, in a process of its own to see its peak.
    script = (
        "import resource, numpy as np, io, soundfile\n"
        "from audio_pipeline.clip import read\n"
        "import sys\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "clip = read(sys.argv[1])\n"
        "print(clip.channels, len(clip.samples), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    samples = np.zeros((192_000 * 50, 8), dtype=np.int16)
    samples[::1000] = 3000
    path = tmp_path / "wide.flac"
    path.write_bytes(encode(samples, 192_000, "FLAC"))
    del samples
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    channels, length, grown_kib = map(int, done.stdout.split())
    assert (channels, length) == (8, 800_000)
    assert grown_kib < 60 * 1024
