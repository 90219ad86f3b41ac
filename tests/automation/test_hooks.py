"""What a run of *answer* that did not come to its end is submitted again with, by Node alone."""

from __future__ import annotations

from typing import Any

from tests.automation.javascript import run

HOOKS = ("../hooks.js",)
GIVEN = {"answer": "Real fault", "question_id": "q", "prediction_id": "p", "token": "t"}
RECOVERED = {"isArtificialRecoveredEventItem": True}


def output(item: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"data": {"main": [[{"json": item}]]}}]


def stack(trigger: str, item: dict[str, Any]) -> dict[str, Any]:
    return {"nodeExecutionStack": [{"node": {"name": trigger}, "data": {"main": [[{"json": item}]]}}]}


def submitted(data: dict[str, Any]) -> Any:
    return run(HOOKS, "submitted(data)", data=data)


def test_what_the_form_gave_is_submitted_again() -> None:
    data = {"resultData": {"runData": {"Form": output(GIVEN)}}, "executionData": {"nodeExecutionStack": []}}
    assert submitted(data) == {"form": "wheeltapper-answer", "json": GIVEN}


def test_a_run_that_had_only_begun_has_it_on_its_stack() -> None:
    data = {"resultData": {"runData": {}}, "executionData": stack("Formulaire", GIVEN)}
    assert submitted(data) == {"form": "wheeltapper-reponse", "json": GIVEN}


def test_an_item_that_the_recovery_of_n8n_put_in_the_place_is_no_answer() -> None:
    # As n8n leaves a run that it was killed in after the form's node had ended, before the workflow had.
    data = {"resultData": {"runData": {"Form": output(RECOVERED), "Answer": output(RECOVERED)}}}
    assert submitted({**data, "executionData": stack("Form", GIVEN)}) == {"form": "wheeltapper-answer", "json": GIVEN}
    assert submitted(data) is None


def test_a_run_of_something_else_holds_no_answer() -> None:
    assert submitted({"resultData": {"runData": {"Schedule": output({"at": "now"})}}}) is None
