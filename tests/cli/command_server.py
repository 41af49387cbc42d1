"""Runs `bimors` commands, each in a fork of a process that has imported no more than the command line.

A line of standard input is a JSON list of arguments; the answer is a line of JSON: the exit code, standard error, and
the modules that the command imported. It is a program of its own, because a test process has imported torch already.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time


def _answer(args: list[str]) -> dict[str, object]:
    with tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as found:
        clock = time.perf_counter()
        child = os.fork()
        if child == 0:
            _run(args, err.fileno(), found.fileno())
        _, status = os.waitpid(child, 0)
        seconds = time.perf_counter() - clock
        err.seek(0)
        found.seek(0)
        modules = json.loads(found.read() or "[]")
        code = os.waitstatus_to_exitcode(status)
        return {"code": code, "stderr": err.read().decode(), "modules": modules, "seconds": seconds}


def _run(args: list[str], err: int, found: int) -> None:
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    os.dup2(err, 2)
    code = 1
    try:
        sys.argv = ["bimors", *args]
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        os.write(found, json.dumps(sorted(sys.modules)).encode())
        os._exit(code)


if __name__ == "__main__":
    from bimors_cli.cli.main import main

    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(json.loads(line))) + "\n")
        sys.stdout.flush()
