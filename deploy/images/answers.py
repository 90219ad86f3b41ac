#!/usr/bin/env -S python3 -IS
"""answers URL: exit code 0 when it answers 200, for health checks; they run all the time: sockets start quickest."""

import socket
import sys

host, _, path = sys.argv[1].removeprefix("http://").partition("/")
name, _, port = host.partition(":")
try:
    with socket.create_connection((name, int(port)), timeout=4) as connection:
        connection.sendall(f"GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        status = connection.makefile("rb").readline().split()
except OSError as error:
    sys.exit(str(error))
sys.exit(status[1:2] != [b"200"] and f"not 200: {status}")
