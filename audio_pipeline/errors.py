"""Every error the project raises on purpose, in one tree.

    WheeltapperError                 has a `code` (machine-readable) and a sentence (what was wrong, what to do)
    ├── UserError                    the request or file is at fault: trying again changes nothing  → HTTP 4xx, exit 2
    │   ├── ClipError                the bytes sent are no usable clip
    │   │   ├── EmptyClip            nothing in it
    │   │   ├── NotAudio             no format that libsndfile reads (M4A/AAC: with the remedy)
    │   │   ├── Truncated            the data ends before the header says
    │   │   ├── NotFinite            NaN or Inf samples
    │   │   ├── Silent               every sample is (almost) zero
    │   │   ├── TooShort             under the accepted length
    │   │   ├── TooLong              over the accepted length, found while decoding
    │   │   ├── TooLarge             more bytes than accepted, as sent or as decoded
    │   │   └── UnsupportedFormat    sample rate or channel count outside what is accepted
    │   ├── DatasetError             a folder or table of clips cannot be understood
    │   ├── ReferenceDataError       ref_data.csv and its companions do not fit together, or do not fit the encoder
    │   ├── TrainingError            the data do not allow what was asked (say, no normal clip)
    │   ├── ParityError              an exported encoder does not give what its network gives
    │   └── SettingsError            an option or environment variable has a value that cannot be used
    ├── BrokenArtifact               a model or encoder file missing, corrupt or of another version  → HTTP 503, exit 3
    └── Overloaded                   right now too much is asked: try again, after `retry_after_s`  → HTTP 503

A refusal names the thing refused, the limit and the next step.
"""

from __future__ import annotations

from typing import ClassVar


class WheeltapperError(Exception):
    """Base of every error raised on purpose.

    Parameters
    ----------
    message
        One sentence or two: what was wrong, and what to do about it.
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class UserError(WheeltapperError):
    """What was asked for cannot be done as asked; trying again changes nothing."""

    code = "bad_request"


class ClipError(UserError):
    """The bytes are no clip that can be scored."""

    code = "bad_clip"


class EmptyClip(ClipError):
    """The file or the audio in it has length zero."""

    code = "empty"


class NotAudio(ClipError):
    """The bytes are in no audio format that is read here."""

    code = "not_audio"


class Truncated(ClipError):
    """The data ends before its header says it should."""

    code = "truncated"


class NotFinite(ClipError):
    """The samples hold NaN or infinity."""

    code = "not_finite"


class Silent(ClipError):
    """Every sample is zero, or as good as zero."""

    code = "silent"


class TooShort(ClipError):
    """The clip is shorter than the accepted minimum."""

    code = "too_short"


class TooLong(ClipError):
    """The clip is longer than the accepted maximum."""

    code = "too_long"


class TooLarge(ClipError):
    """The clip has more bytes than accepted, as sent or while being decoded."""

    code = "too_large"


class UnsupportedFormat(ClipError):
    """It is audio, with a sample rate or a channel count outside what is accepted."""

    code = "unsupported_format"


class DatasetError(UserError):
    """A folder or manifest of clips cannot be understood."""

    code = "bad_dataset"


class ReferenceDataError(UserError):
    """Reference data do not fit together, or do not fit the encoder."""

    code = "bad_reference"


class TrainingError(UserError):
    """The data do not allow the training that was asked for."""

    code = "cannot_train"


class ParityError(UserError):
    """An exported encoder does not give what its network gives."""

    code = "parity"


class SettingsError(UserError):
    """An option or environment variable has a value that cannot be used."""

    code = "bad_setting"


class BrokenArtifact(WheeltapperError):
    """A model or encoder file is missing, corrupt, or does not fit the others."""

    code = "broken_artifact"


class Overloaded(WheeltapperError):
    """More is asked right now than the bounded queue takes.

    Parameters
    ----------
    message
        What is overloaded.
    retry_after_s
        When to try again, in seconds.
    """

    code = "overloaded"

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
