"""Python imports this at its start when the folder is on PYTHONPATH: from then on this process and its children talk to
nobody but this machine. Every attempt is refused and written to the file named by REFUSED, so that a library which
swallows the error is noticed too."""

import os
import sys

ADDRESS = {"socket.connect": 1, "socket.sendto": 1, "socket.getaddrinfo": 0, "socket.gethostbyname": 0}


def refuse(event, arguments):
    if event in ADDRESS:
        host = arguments[ADDRESS[event]]
        host = host[0] if isinstance(host, tuple) else host
        host = host.decode() if isinstance(host, bytes) else str(host or "")
        # names of unix sockets begin with / or a zero byte
        if not host.startswith(("127.", "/", "\0")) and host not in ("", "localhost", "::1", "0.0.0.0"):
            if path := os.environ.get("REFUSED"):
                with open(path, "a", encoding="utf-8") as file:
                    file.write(f"{event} {host}\n")
            raise OSError(f"no network in this test: {event} to {host}")


sys.addaudithook(refuse)
