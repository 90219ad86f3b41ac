"""The versioned store of models and encoders under `artifacts/`: publish, verify, point at the one in production.

    artifacts/
    ├── encoders/<name>/encoder.onnx + encoder.json      `default` is shipped with the repository
    ├── models/<version>/classifier.onnx + model.json    immutable; the name ends in the manifest's own hash
    └── current.json                                     {model, encoder_sha256}: what serves, replaced atomically

Here: files, hashes and names. Not here: what is inside a model (`detector/`) or an encoder (`encoder.py`), and the
ledger of promotions, which is in serve's database.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audio_pipeline.durable import replace_file, sync_folder
from audio_pipeline.errors import BrokenArtifact, SettingsError

MANIFEST = "model.json"
# Where the encoder that comes with the software lies: in a checkout, and in an image.
SHIPPED_ENCODERS = (
    Path(__file__).resolve().parent.parent / "artifacts" / "encoders",
    Path("/opt/wheeltapper/encoders"),
)


@dataclass(frozen=True)
class Current:
    """What serves now.

    Parameters
    ----------
    model
        Version name, a folder under `artifacts/models`.
    encoder_sha256
        The encoder that model was trained with.
    """

    model: str
    encoder_sha256: str


@dataclass(frozen=True)
class ModelVersion:
    """One verified or listed model version.

    Parameters
    ----------
    version
        Its name, `<name>-<first 12 of the manifest's sha256>`.
    folder
        Where its files lie.
    manifest
        `model.json` as read.
    """

    version: str
    folder: Path
    manifest: dict[str, Any]

    @property
    def created(self) -> str:
        """When it was made, ISO 8601, or empty when the manifest does not say."""
        return str(self.manifest.get("created") or "")

    @property
    def parent(self) -> str | None:
        """The version it was made from, if any."""
        parent = self.manifest.get("parent")
        return str(parent) if parent else None

    @property
    def encoder_sha256(self) -> str:
        """The sha256 of the `encoder.onnx` it was trained with."""
        return str(self.manifest.get("encoder_sha256") or "")


class ModelStore:
    """The models under one artifacts folder.

    Parameters
    ----------
    root
        The artifacts folder; made on the first publish.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = ModelStore(Path(folder))
    ...     version = store.publish({"classifier.onnx": b"graph"}, {"encoder_sha256": "ab" * 32})
    ...     store.set_current(version)
    ...     store.current() == Current(version, "ab" * 32)
    True
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def models(self) -> Path:
        """The folder that holds a folder a version."""
        return self.root / "models"

    def publish(self, files: Mapping[str, bytes], manifest: Mapping[str, Any], name: str = "model") -> str:
        """Store a new version; it does not serve until `set_current`.

        Parameters
        ----------
        files
            Name → content, `classifier.onnx` among them.
        manifest
            What `model.json` says; `files` (name → sha256) is added here. Must name `encoder_sha256`.
        name
            Readable first part of the version's name.

        Returns
        -------
        str
            The version. The same files and manifest give the same version, and publishing it twice is harmless.
        """
        recorded = {**manifest, "files": {key: _sha256(content) for key, content in sorted(files.items())}}
        text = json.dumps(recorded, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        version = f"{name}-{_sha256(text)[:12]}"
        target = self.models / version
        if target.is_dir():
            self.load(version)
            return version
        # A hidden name, so that a reader never lists a version that is still being written.
        temporary = self.models / f".{version}.{secrets.token_hex(4)}.tmp"
        temporary.mkdir(parents=True)
        try:
            for key, content in {**files, MANIFEST: text}.items():
                replace_file(temporary / key, content)
            try:
                temporary.rename(target)
            except OSError:
                if not target.is_dir():  # otherwise somebody else has just published the very same version
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        sync_folder(self.models)
        return version

    def load(self, version: str) -> ModelVersion:
        """Read a version's manifest and check every file against its sha256.

        Raises
        ------
        SettingsError
            There is no such version.
        BrokenArtifact
            A file is missing or is not what was published.
        """
        folder = self.models / version
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", version) or not folder.is_dir():
            known = ", ".join(model.version for model in self.list()) or "none"
            raise SettingsError(f"There is no model version '{version}' in {self.models} (there are: {known}).")
        remedy = "put the file back, promote another version (wheeltapper models list) or train again"
        manifest_path = folder / MANIFEST
        text = _read(manifest_path, remedy)
        if _sha256(text)[:12] != version.rpartition("-")[2]:
            raise BrokenArtifact(f"{manifest_path} is not the manifest that was published as {version}: {remedy}.")
        manifest: dict[str, Any] = json.loads(text)
        for key, expected in manifest["files"].items():
            found = _sha256(_read(folder / key, remedy))
            if found != expected:
                raise BrokenArtifact(
                    f"{folder / key} has sha256 {found[:12]}… where {MANIFEST} says {expected[:12]}…: "
                    f"the file was changed or damaged; {remedy}."
                )
        return ModelVersion(version, folder, manifest)

    def list(self) -> list[ModelVersion]:
        """Every version, oldest first; files are not verified, unreadable manifests are shown as empty."""
        versions = []
        for folder in sorted(self.models.glob("[!.]*")) if self.models.is_dir() else []:
            try:
                manifest = json.loads((folder / MANIFEST).read_bytes())
            except (OSError, ValueError):
                manifest = {}
            versions.append(ModelVersion(folder.name, folder, manifest))
        return sorted(versions, key=lambda model: (model.created, model.version))

    def current(self) -> Current | None:
        """What serves now, or None when nothing was ever promoted.

        Raises
        ------
        BrokenArtifact
            `current.json` is there and cannot be understood.
        """
        path = self.root / "current.json"
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BrokenArtifact(f"{path} cannot be read ({error.strerror}): check its permissions.") from error
        try:
            content = json.loads(text)
            return Current(str(content["model"]), str(content["encoder_sha256"]))
        except (ValueError, KeyError, TypeError) as error:
            raise BrokenArtifact(
                f"{path} does not name a model and an encoder: set it again with `wheeltapper models promote VERSION`."
            ) from error

    def set_current(self, version: str) -> None:
        """Make `version` the one that serves, after verifying it; readers see the old or the new, never a mixture."""
        model = self.load(version)
        content = {"model": version, "encoder_sha256": model.encoder_sha256}
        replace_file(self.root / "current.json", json.dumps(content, indent=2).encode() + b"\n")


def find_encoder(root: Path, wanted: str) -> Path:
    """Find an encoder folder by its name or by the sha256 of its `encoder.onnx`.

    Parameters
    ----------
    root
        The artifacts folder. Encoders that come with the software are found too, after those in it.
    wanted
        A folder name (`default`), or a sha256 of which the first 12 characters or more are given.

    Raises
    ------
    SettingsError
        A name that no folder has.
    BrokenArtifact
        A sha256 that no encoder has: the model's encoder is gone.
    """
    folders = [
        manifest.parent
        for place in (root / "encoders", *SHIPPED_ENCODERS)
        if place.is_dir()
        for manifest in sorted(place.glob("*/encoder.json"))
    ]
    for folder in folders:
        if folder.name == wanted:
            return folder
    is_hash = re.fullmatch(r"[0-9a-f]{12,64}", wanted) is not None
    for folder in folders if is_hash else []:
        try:
            sha256 = str(json.loads((folder / "encoder.json").read_bytes()).get("sha256"))
        except (OSError, ValueError):
            continue
        if sha256.startswith(wanted):
            return folder
    known = ", ".join(dict.fromkeys(folder.name for folder in folders)) or "none"
    if is_hash:
        raise BrokenArtifact(
            f"No encoder with sha256 {wanted[:12]}… is in {root / 'encoders'} (there are: {known}): "
            "put its folder back, or move to one that is there: wheeltapper reembed."
        )
    raise SettingsError(f"There is no encoder '{wanted}' in {root / 'encoders'} (there are: {known}).")


def _read(path: Path, remedy: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BrokenArtifact(f"{path} cannot be read ({os.strerror(error.errno or 0)}): {remedy}.") from error


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
