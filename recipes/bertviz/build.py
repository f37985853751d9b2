"""Makes course/assets/: bertviz's drawings of attention, with everything they need, so that no page has to load anything.

    python recipes/bertviz/build.py         # needs npm (https://nodejs.org) and the network

bertviz (Vig 2019, https://arxiv.org/abs/1906.05714) draws; only what loads d3 and jQuery from a server is replaced, by
frame.js. The Python package bertviz is not a dependency of course, since it brings transformers, boto3 and sentencepiece.
package-lock.json holds the checksums of what npm gives, WHEEL that of bertviz; an unknown version of either is refused.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
ASSETS = HERE.parents[1] / "course/assets"
WHEEL = "bertviz==1.4.1 --hash=sha256:e53e5fb77812d73fdc1142f56334cbf723d6cfcb54f9a6f6d3d5c83dd9763192"
VIEWS = ("head", "model", "neuron")
LOADER = re.compile(r"require\.config\(\{.*?\}\s*\);\s*requirejs\(\['jquery',\s*'d3'\],\s*function\s*\(\$,\s*d3\)\s*\{"
                    r"(.*)\}\);\s*$", re.DOTALL)


def as_module(source: str) -> str:
    """A script of bertviz -> a module whose function draws. Raises ValueError where bertviz is not as it was."""
    found = LOADER.search(source)
    if found is None or "cdnjs" in found[1] or "require" in found[1].replace("requireConfig", ""):
        raise ValueError("this version of bertviz loads its libraries in another way: look at it before you bundle it")
    body = found[1].replace("window.bertviz_params", "PYTHON_PARAMS")
    body = body.replace('d3.select("#vis")', "d3.select(`#${config.rootDivId} #vis`)")      # it took the first view of the page
    if body.count("PYTHON_PARAMS") not in (1, 2):
        raise ValueError("this version of bertviz takes its numbers in another way")
    return f"export default function draw($, d3, PYTHON_PARAMS) {{{body}}}\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "wheel.txt").write_text(WHEEL)
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes",
                        "-r", work / "wheel.txt", "-d", work], check=True)
        for name in ("package.json", "package-lock.json", "frame.js"):
            shutil.copy(HERE / name, work)
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=work, check=True)
        ASSETS.mkdir(exist_ok=True)
        licences = []
        with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel:
            for view in VIEWS:
                (work / f"{view}_view.js").write_text(as_module(wheel.read(f"bertviz/{view}_view.js").decode()))
                (work / f"{view}.js").write_text(f'import draw from "./{view}_view.js";\n'
                                                 'import { start } from "./frame.js";\n'
                                                 "export const show = (...options) => start(draw, ...options);\n")
            name = next(name for name in wheel.namelist() if name.endswith("LICENSE"))
            licences.append(f"{WHEEL.split()[0]} (Apache-2.0), https://github.com/jessevig/bertviz\n\n{wheel.read(name).decode()}")
        made = subprocess.run(["npx", "--no-install", "esbuild", *(f"{view}.js" for view in VIEWS), "--bundle", "--minify",
                               "--format=iife", "--global-name=attentionView", "--drop:console", "--legal-comments=none",
                               "--charset=utf8", f"--outdir={ASSETS}", "--allow-overwrite", "--metafile=meta.json"], cwd=work)
        made.check_returncode()
        used = set(re.findall(r'"node_modules/([\w-]+)/', (work / "meta.json").read_text()))
        for package in sorted(used):
            home = work / "node_modules" / package
            version = re.search(r'"version": "([^"]+)"', (home / "package.json").read_text())[1]
            licences.append(f"{package} {version} (BSD-3-Clause)\n\n{(home / 'LICENSE').read_text()}")
        (ASSETS / "LICENSES.txt").write_text("What is in head.js, model.js and neuron.js besides frame.js of this project, "
                                             "made by recipes/bertviz/build.py.\n\n\n" + "\n\n\n".join(licences))
    for view in VIEWS:
        path = ASSETS / f"{view}.js"
        path.write_text(path.read_text().strip() + "\n")
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    main()
