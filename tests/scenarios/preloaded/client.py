"""Has a command run by ``server.py`` with the streams of this process, and ends with its exit code.

python client.py SOCKET REQUEST
"""

import os
import socket
import sys

if __name__ == "__main__":
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(sys.argv[1])
        socket.send_fds(connection, [b"!"], [0, 1, 2])
        connection.sendall(sys.argv[2].encode() + b"\n")
        answer = connection.makefile().readline()
    # An empty answer: the server has gone, and the command with it.
    os._exit(int(answer or 1))
