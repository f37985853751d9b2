"""Not part of the package. A clone is a folder called course: a script beside it that says `import course` would find this
folder instead of the package inside it, or instead of the installed one. So this file hands over to the package inside.
"""

from pathlib import Path

if __name__ == "course":                             # tools that look at this folder under another name get nothing
    __path__ = [str(Path(__file__).parent / "course")]
    __file__ = str(Path(__file__).parent / "course" / "__init__.py")
    __spec__.submodule_search_locations = __path__
    exec(compile(Path(__file__).read_text(encoding="utf-8"), __file__, "exec"))
