"""A pytest plugin: of the conformance suite run the tests that have passed before (conformance.txt) and no others.

With RECORD=1 all of them run, and those that pass join the list. Nothing but an editor takes a test off it.
"""

import os
from pathlib import Path

import pytest

LIST = Path(__file__).with_name("conformance.txt")
RECORD = os.environ.get("RECORD") == "1"
listed = set(LIST.read_text(encoding="utf-8").splitlines()) if LIST.exists() else set()
passed = set()


@pytest.hookimpl(tryfirst=True)                     # before -m takes tests away
def pytest_collection_modifyitems(config, items):
    if RECORD:
        return
    chosen = [item for item in items if item.nodeid in listed]
    files = {item.location[0] for item in items}
    gone = {name for name in listed if name.split("::")[0] in files} - {item.nodeid for item in chosen}
    if gone:
        print(f"\n{len(gone)} tests of {LIST.name} are not in the suite (any more): {', '.join(sorted(gone)[:5])} ...")
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in listed])
    items[:] = chosen


def pytest_runtest_logreport(report):
    if report.when == "call" and report.passed:
        passed.add(report.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    if RECORD:
        LIST.write_text("\n".join(sorted(listed | passed)) + "\n", encoding="utf-8")
        print(f"\n{len(passed - listed)} tests added to {LIST.name}; "
              f"{len(listed - passed)} of the list did not pass this time and stay on it")
