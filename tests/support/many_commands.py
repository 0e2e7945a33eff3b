"""Several commands in a process of their own, where each in one of its own would take a second.

A prefix is read when a process starts, so a system that has one cannot use that of the tests. This
reads lists of arguments from standard input, as JSON, and writes what each command writes, a line
of JSON for each. The first that fails ends it.
"""

import json
import sys

from click.testing import CliRunner

from interaction_usage.commands.main import main

if __name__ == "__main__":
    for arguments in json.load(sys.stdin):
        done = CliRunner().invoke(main, arguments)
        if done.exit_code:
            sys.exit(f"{arguments}: {done.output}{done.exception!r}")
        print(json.dumps(done.stdout))
