"""The table of clients, versions, checks and results."""

import importlib.metadata
import sys
import traceback

results = []


def check(client, name):
    """Runs a check at once, and notes what came of it."""
    def begin(function):
        version = importlib.metadata.version(client)
        try:
            said = function() or ""
            results.append((client, version, name, "pass " + said))
        except Exception:
            results.append((client, version, name, "FAIL"))
            traceback.print_exc()
        return function
    return begin


def same(found, wanted):
    if found != wanted:
        raise AssertionError(f"found {found!r}, wanted {wanted!r}")


def end():
    """Prints the table, and ends."""
    rows = [("client", "version", "check", "result"), *results]
    widths = [max(len(row[n]) for row in rows) for n in range(4)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    sys.exit(any(row[3] == "FAIL" for row in results))
