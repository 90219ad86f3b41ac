"""Each fault of the loop once; `make faults` causes them with the full counts."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from benchmarks.faults import answers, replicas
from benchmarks.faults.fault import Outcome
from tests.serve import postgres

DATABASES = answers.kinds()


@pytest.fixture
def models(trained: tuple[Path, tuple[str, str]]) -> Path:
    if "postgresql" not in DATABASES:
        warnings.warn(postgres.HOW, stacklevel=1)
    return trained[0]


def assert_passed(outcome: Outcome) -> None:
    assert outcome.passed, dict(outcome.figures)


def test_a_kill_of_the_service_loses_no_answer(models: Path) -> None:
    assert_passed(answers.kill_service(2, models))


def test_a_kill_of_the_service_loses_no_question(models: Path) -> None:
    assert_passed(answers.kill_delivery(1, models, DATABASES[-1:]))


def test_answers_of_16_clients_at_once_are_each_stored_once(models: Path) -> None:
    assert_passed(answers.thousand_answers(1, models, DATABASES[:1], count=200))


def test_a_full_disk_loses_no_answer_that_was_acknowledged(models: Path) -> None:
    assert_passed(answers.disk_full(2, models))


def test_a_read_only_folder_loses_no_answer_that_was_acknowledged(models: Path) -> None:
    assert_passed(answers.read_only(1, models, DATABASES[-1:]))


@pytest.mark.skipif("postgresql" not in DATABASES, reason=postgres.HOW)
def test_a_database_that_goes_away_and_comes_back_loses_no_answer(models: Path) -> None:
    assert_passed(answers.database_away(1, models))


@pytest.mark.skipif("postgresql" not in DATABASES, reason=postgres.HOW)
def test_two_services_over_one_database_lose_no_answer_and_follow_a_promotion(models: Path) -> None:
    assert_passed(replicas.replicas(1, models, count=60, within_s=60))
