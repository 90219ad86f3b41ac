"""Each broken file is refused with the right code, a sentence, quickly and in bounded memory."""

from __future__ import annotations

import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest

from audio_pipeline.clip import decode
from audio_pipeline.errors import ClipError
from tests.broken_files import make_broken_files

BROKEN = make_broken_files()


def test_there_are_enough_of_them():
    assert len(BROKEN) >= 40
    assert len({code for _, code in BROKEN.values()}) == 9


@pytest.mark.parametrize("name", BROKEN)
def test_broken_file_is_refused(name):
    data, code = BROKEN[name]
    begin = time.process_time()  # of this process: other load does not count
    with pytest.raises(ClipError) as refusal:
        decode(data, filename=name)
    assert refusal.value.code == code
    assert time.process_time() - begin < 10  # a bomb that goes off takes minutes
    message = refusal.value.message
    assert message.startswith(name)
    assert len(message) > 40
    assert "\n" not in message
    assert "object at 0x" not in message


@pytest.mark.parametrize("name", [name for name in BROKEN if "hours" in name or "minutes" in name or "year" in name])
def test_a_bomb_needs_little_memory(name):
    tracemalloc.start()
    try:
        with pytest.raises(ClipError):
            decode(BROKEN[name][0])
        # Ten minutes of the mono result, twice: in pieces and joined.
        assert tracemalloc.get_traced_memory()[1] < 100 * 2**20
    finally:
        tracemalloc.stop()


def test_they_can_be_written_to_a_folder_and_are_the_same_on_every_run(tmp_path: Path):
    script = Path(__file__).parents[1] / "broken_files.py"
    subprocess.run([sys.executable, str(script), str(tmp_path / "out")], check=True)
    written = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    table = written.pop("codes.csv").decode().splitlines()
    assert table == ["file,code", *(f"{name},{code}" for name, (_, code) in BROKEN.items())]
    assert written.keys() == BROKEN.keys()
    # An Ogg stream carries a random serial number: libsndfile's, not ours.
    fixed = {name for name in BROKEN if not name.endswith((".ogg", ".opus"))}
    assert {name for name in fixed if written[name] != BROKEN[name][0]} == set()
