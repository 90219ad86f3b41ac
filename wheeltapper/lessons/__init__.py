"""Lessons: what can go wrong around a detector, staged with real parts, and checked at the end.

Here: which lessons there are, and playing one. Not here: the lessons (a module each), the parts (`plant`), how it is
told (`stage`).

A lesson has a folder and processes of its own: nothing of a running site is touched. All sounds follow from seeds, so
that it goes the same way each time.
"""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import NamedTuple

from audio_pipeline.errors import SettingsError
from wheeltapper.lessons.plant import Plant
from wheeltapper.lessons.stage import Stage


class Lesson(NamedTuple):
    """The module that plays it (`play(plant, stage)`), and what it is about."""

    module: str
    summary: str


LESSONS = {
    "drift": Lesson("wheeltapper.lessons.drift", "Somebody hangs a coat over the microphone. Who notices, and how?"),
    "poisoned-answers": Lesson(
        "wheeltapper.lessons.poisoned_answers", "A tired operator calls every alarm a false one. What is learned of it?"
    ),
    "bad-challenger": Lesson(
        "wheeltapper.lessons.bad_challenger", "Answers at random make a bad model; a file is damaged. What serves?"
    ),
    "rollback": Lesson(
        "wheeltapper.lessons.rollback", "A better model takes over, and has to go again, under load. Who misses a beat?"
    ),
    "lost-mail": Lesson(
        "wheeltapper.lessons.lost_mail", "n8n, the mail server and the service go away in turn. What is lost?"
    ),
}


def play(name: str, folder: Path | None = None, pause: bool = False) -> None:
    """Play a lesson, and stop what it started.

    Parameters
    ----------
    name
        One of `LESSONS`.
    folder
        Kept; new or empty. Left out: a temporary one.
    pause
        Start portal and Evidently too, and wait for the return key where there is something to look at.

    Raises
    ------
    LessonFailed
        The system did not do what it should.
    SettingsError
        There is no such lesson, or the folder holds something.
    """
    if name not in LESSONS:
        raise SettingsError(f"There is no lesson called {name}. Lessons: {', '.join(LESSONS)}.")
    lesson = importlib.import_module(LESSONS[name].module)
    if folder is not None and folder.exists() and any(folder.iterdir()):
        raise SettingsError(f"{folder} is not empty: a lesson begins from nothing. Name a new folder.")
    with (
        tempfile.TemporaryDirectory(prefix="wheeltapper-lesson-", ignore_cleanup_errors=True) as scratch,
        Plant((folder or Path(scratch)).resolve(), pages=pause) as plant,
    ):
        stage = Stage(plant, pause=pause)
        stage.title(f"Lesson: {name}", LESSONS[name].summary)
        lesson.play(plant, stage)
        stage.end()
