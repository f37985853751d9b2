"""For every suite: no network but loopback, a cache of its own, the same random numbers every time."""

import logging
import os
import shutil
import socket
import sys
import tempfile

import pytest

# huggingface_hub reads these once, when it is imported; so before any test module is.
CACHE = tempfile.mkdtemp(prefix="course-tests-")
for name in ("HF_ENDPOINT", "HF_TOKEN", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE",
             "PYTORCH_TRANSFORMERS_CACHE", "PYTORCH_PRETRAINED_BERT_CACHE", "TRANSFORMERS_OFFLINE", "COURSE_DEFAULTS"):
    os.environ.pop(name, None)
os.environ.update(HF_HOME=CACHE, HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TOKENIZERS_PARALLELISM="false")

logging.getLogger("course").setLevel("INFO")          # notes come as records, so caplog has them

attempts: list[str] = []


def pytest_configure(config):
    def connect(self, address, plain=socket.socket.connect):
        host = address[0] if isinstance(address, tuple) else "localhost"     # a path: a socket of this machine
        if host not in ("localhost", "::1") and not host.startswith("127."):
            attempts.append(str(address))
            raise OSError(f"tests have no network: {address}")
        return plain(self, address)

    def getaddrinfo(host, *args, plain=socket.getaddrinfo, **kwargs):
        if host and host not in ("localhost", "::1") and not str(host).startswith(("127.", "0.0.0.0")):
            attempts.append(str(host))
            raise socket.gaierror(f"tests have no network: {host}")
        return plain(host, *args, **kwargs)

    socket.socket.connect = connect
    socket.getaddrinfo = getaddrinfo


def pytest_unconfigure(config):
    shutil.rmtree(CACHE, ignore_errors=True)


@pytest.fixture(autouse=True)
def no_network():
    """A test that reaches for the network fails, even where the code copes with the refusal."""
    attempts.clear()
    yield attempts
    assert not attempts, f"this test wanted to reach {attempts}"


@pytest.fixture(autouse=True)
def same_random_numbers():
    import random

    random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
