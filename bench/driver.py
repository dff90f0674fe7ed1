"""The process that drives one contestant through one workload: `python -m bench.driver CONTESTANT WORKLOAD SCALE`.

It has a process of its own, so that it can be killed when it hangs, and so that no contestant's threads and memory are in
another's way. Each line on its stdin is a turn; each line on its stdout is the answer, in JSON.
"""

from __future__ import annotations

import json
import os
import sys
from typing import IO

from bench.contestants import BY_NAME
from bench.scale import Scale
from bench.workloads import BY_KEY


def main() -> int:
    """Prepare, and have a turn whenever one is asked for."""
    name, key, scale = sys.argv[1:]
    commands, answers = _private_streams()
    try:
        measure = BY_KEY[key].make(BY_NAME[name].load(), _scale(scale))
        measure.prepare()
        _say(answers, {})
        for _ in commands:
            _say(answers, measure.turn())
    except Exception as fault:
        _say(answers, {"failed": f"{type(fault).__name__}: {fault}"})
        raise
    return 0


def _scale(text: str) -> Scale:
    fields = json.loads(text)
    return Scale(**{field: tuple(value) if isinstance(value, list) else value for field, value in fields.items()})


def _private_streams() -> tuple[IO[str], IO[str]]:
    """The conversation on descriptors of its own: a child must not read or write it by its stdin and stdout."""
    commands, answers = os.fdopen(os.dup(0), "r"), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return commands, answers


def _say(answers: IO[str], figures: dict[str, object] | dict[str, float]) -> None:
    answers.write(json.dumps(figures) + "\n")
    answers.flush()


if __name__ == "__main__":
    sys.exit(main())
