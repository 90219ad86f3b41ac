"""Puts the code of `code/*.js` into the Code nodes of `workflows/*.json`: `python -m automation.assemble` [--check].

Here: that one step. A workflow is complete in its JSON, as n8n wants it; a node that needs shared code names the files
in its first line, and its own lines follow the marker. So the shared code has one place, is tested there with Node
alone, and a workflow changed in n8n's editor and exported comes back here without loss.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CODE = HERE / "code"
WORKFLOWS = HERE / "workflows"
MARKER = "// In this node:\n"
_FIRST_LINE = re.compile(r"^// From automation/code: ([\w., -]+)\n")


def assembled(code: str) -> str:
    """Return a node's code with the files that its first line names put in anew."""
    named = _FIRST_LINE.match(code)
    if not named:
        return code
    files = [name.strip() for name in named[1].split(",")]
    shared = "\n".join((CODE / name).read_text(encoding="utf-8").strip() for name in files)
    return f"{named[0]}{shared}\n\n{MARKER}{code.partition(MARKER)[2]}"


def assemble(path: Path) -> str:
    """Return a workflow's JSON with the code of its nodes up to date."""
    workflow: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for node in workflow["nodes"]:
        if "jsCode" in node["parameters"]:
            node["parameters"]["jsCode"] = assembled(node["parameters"]["jsCode"])
    return json.dumps(workflow, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write the workflows, or with `--check` say which are out of date."""
    stale = [path for path in sorted(WORKFLOWS.glob("*.json")) if assemble(path) != path.read_text(encoding="utf-8")]
    for path in stale:
        if "--check" in arguments:
            sys.stderr.write(f"{path.name} is out of date: run python -m automation.assemble\n")
        else:
            path.write_text(assemble(path), encoding="utf-8")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
