"""A real JupyterLab in a headless Chromium that can reach nothing but this machine.

    pytest tests/browser --screenshot DIR       also writes a picture of every page it opens

Skipped where playwright or Chromium is missing: pip install playwright; apt-get install chromium (or set CHROMIUM to
the program). Playwright's own browser download is not needed.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 180
BROKEN_WIDGETS = ("Javascript Error:", "Error displaying widget", "Loading widget...", "Error creating widget")

# JupyterLab's page says "idle" before the kernel listens, and "Run All" then leaves cells unrun: ask the application.
READY = """() => {
    const panel = window.jupyterapp?.shell.currentWidget, session = panel?.context?.sessionContext;
    const kernel = session?.session?.kernel;
    return Boolean(panel?.context?.isReady && session?.isReady && kernel?.connectionStatus === 'connected'
                   && kernel.status === 'idle' && panel.content.widgets.length);
}"""
# The kernel, too, can say "idle" while a cell runs; the [*] in front of a cell is right.
FINISHED = """() => ![...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')]
    .some(prompt => prompt.textContent.includes('*'))"""
RUN_ALL = "() => window.jupyterapp.commands.execute('notebook:run-all-cells').then(() => true)"
CELLS = """() => [...window.jupyterapp.shell.currentWidget.content.model.cells].filter(cell => cell.type === 'code')
    .map(cell => ({id: cell.id, count: cell.executionCount, outputs: cell.toJSON().outputs}))"""
# JupyterLab attaches cells below the window when it finds the time.
PICTURES = """expected => {
    const shown = [...document.querySelectorAll('.jp-OutputArea img')];
    return shown.length >= expected && shown.every(image => image.complete);
}"""
HEIGHT = """() => {
    window.jupyterapp.shell.collapseLeft();
    const cells = window.jupyterapp.shell.currentWidget.node.querySelector('.jp-WindowedPanel-outer');
    cells.scrollTop = 0;
    return cells.querySelector('.jp-WindowedPanel-inner').scrollHeight;
}"""


def pytest_addoption(parser):
    parser.addoption("--screenshot", metavar="DIR", type=Path, default=None, help="write pictures of the pages there")
    parser.addoption("--gallery", metavar="DIR", type=Path, default=None, help="write the pictures of docs/gallery.md there")


@pytest.fixture(scope="session")
def chromium():
    """The browser, closed at the end."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("no Chromium: apt-get install chromium, or set CHROMIUM to the program")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[
            "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--force-color-profile=srgb",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"])
        yield browser
        browser.close()


@contextlib.contextmanager
def serving(home, **variables):
    """A server of JupyterLab and Notebook 7 on the folder home/root, with these variables in its environment."""
    (home / "config/labconfig").mkdir(parents=True)
    news = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}       # it asks the network
    (home / "config/labconfig/page_config.json").write_text(json.dumps(news))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url, token = f"http://127.0.0.1:{free.getsockname()[1]}", secrets.token_hex(16)
    paths = [str(ROOT / "tests/lessons/no_network"), variables.pop("PYTHONPATH", ""), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(home / "config"), "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"), "REFUSED": str(home / "refused.txt"),
        "PYTHONPATH": os.pathsep.join(filter(None, paths))} | variables
    command = [sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", "--ServerApp.ip=127.0.0.1",
               f"--ServerApp.port={url.rpartition(':')[2]}", "--ServerApp.port_retries=0",
               f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={home / 'root'}",
               f"--LabApp.workspaces_dir={home / 'workspaces'}", "--LabApp.expose_app_in_browser=True",
               "--JupyterNotebookApp.expose_app_in_browser=True"]
    with open(home / "lab.log", "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            await_server(server, url, token, home / "lab.log")
            yield SimpleNamespace(url=url, token=token, refused=home / "refused.txt", root=home / "root")
        finally:
            server.send_signal(signal.SIGTERM)          # it shuts its kernels down; an interrupt would ask back
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory):
    """JupyterLab on a copy of the notebooks (it saves by itself): its url, token, root and the file of refusals."""
    home = tmp_path_factory.mktemp("jupyter")
    for folder in ("lessons", "solutions"):
        shutil.copytree(ROOT / folder, home / "root" / folder, ignore=shutil.ignore_patterns(".*", "src"))
    with serving(home) as server:
        yield server


def await_server(server, url, token, log):
    for _ in range(600):
        try:
            return urllib.request.urlopen(f"{url}/api/status?token={token}", timeout=2).read()
        except OSError:
            assert server.poll() is None, f"JupyterLab ended:\n{log.read_text()[-2000:]}"
            time.sleep(0.1)
    raise AssertionError(f"JupyterLab does not answer:\n{log.read_text()[-2000:]}")


class Notebook:
    """One notebook in its own window. `complaints` collects what a reader of the page would notice, or should."""

    def __init__(self, browser, server, path, front="lab"):
        """front: "lab", or "notebook" for Notebook 7."""
        self.complaints = []
        self.page = browser.new_page(viewport={"width": 1000, "height": 1000})
        self.page.set_default_timeout(SECONDS * 1000)
        self.page.on("pageerror", lambda error: self.complaints.append(f"JavaScript: {str(error)[:300]}"))

        def guard(route):
            if route.request.url.startswith((server.url, "data:", "blob:")):
                route.continue_()
            else:
                self.complaints.append(f"asked for {route.request.url}")
                route.abort()

        self.page.route("**/*", guard)
        # A workspace of its own: otherwise JupyterLab opens what was open before.
        place = f"lab/workspaces/{secrets.token_hex(4)}/tree" if front == "lab" else "notebooks"
        self.page.goto(f"{server.url}/{place}/{path}?token={server.token}")
        self.page.wait_for_function(READY)

    def run_all(self):
        """Runs every cell, then adds errors, cells that were left out and broken widgets to the complaints."""
        assert self.page.evaluate(RUN_ALL)
        self.page.wait_for_function(FINISHED)
        for cell in self.cells():
            if cell["count"] is None:
                self.complaints.append(f"{cell['id']} did not run")
            self.complaints += [f"{cell['id']}: {output['ename']}: {output['evalue'][:300]}"
                                for output in cell["outputs"] if output["output_type"] == "error"]
        self.page.wait_for_timeout(300)                                         # widgets paint after their cell
        for _ in range(60):                                                     # on a busy machine they take their time
            broken = [text for text in BROKEN_WIDGETS if self.page.locator(".jp-OutputArea", has_text=text).count()]
            if not broken:
                break
            self.page.wait_for_timeout(500)
        self.complaints += broken

    def cells(self):
        return self.page.evaluate(CELLS)

    def pictures(self):
        """The pictures of the notebook, as soon as all are on the page."""
        shown = [output.get("data", {}) for cell in self.cells() for output in cell["outputs"]]
        expected = sum("image/png" in data or "<img" in "".join(data.get("text/html", "")) for data in shown)
        self.page.wait_for_function(PICTURES, arg=expected)
        return self.page.locator(".jp-OutputArea img").all()

    def close(self):
        """With its kernel."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.sessionContext.shutdown()")
        self.page.close()

    def screenshot(self, file):
        """The whole notebook: the window grows to its height first."""
        file.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(3):                                                      # cells out of sight have no height yet
            self.page.set_viewport_size({"width": 1000, "height": min(15_000, self.page.evaluate(HEIGHT) + 140)})
            self.page.wait_for_timeout(700)
        self.page.screenshot(path=file)


@pytest.fixture
def open_notebook(chromium, jupyter, request):
    """open_notebook("lessons/01_quick_tour.ipynb"): a Notebook, closed and photographed at the end of the test."""
    opened = []

    def open_one(path):
        opened.append(Notebook(chromium, jupyter, path))
        return opened[-1]

    yield open_one
    folder = request.config.getoption("--screenshot", default=None)
    for notebook in opened:
        if folder:
            notebook.screenshot(folder / f"{request.node.name}.png")
        notebook.close()
    assert not jupyter.refused.exists(), f"Python asked the network: {jupyter.refused.read_text()}"


def pytest_terminal_summary(terminalreporter):
    lines = [value for report in terminalreporter.getreports("passed") for name, value in report.user_properties
             if name == "latency" and report.when == "call"]
    if lines:
        terminalreporter.section("from a key press to the answer")
        terminalreporter.write_line("\n".join(lines))
