"""Runs a command in a terminal of its own, of 80 columns and 24 lines, and types what it is told.

    terminal.py STEPS COMMAND...

STEPS is JSON: pairs of a regular expression and of the keys that are typed once the command has printed what it matches; "SIGTERM"
is sent as that, and "HANGUP" closes the terminal. Prints the number of each step that was reached, and at the end, in a line of JSON, the exit code, all that the
command printed, and whether the terminal is as it was before.
"""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

HANG = 120

leader, follower = pty.openpty()
fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
before = termios.tcgetattr(follower)
child = os.fork()
if child == 0:
    os.setsid()
    fcntl.ioctl(follower, termios.TIOCSCTTY, 0)
    for descriptor in range(3):
        os.dup2(follower, descriptor)
    os.execvp(sys.argv[2], sys.argv[2:])

seen = ""
deadline = time.monotonic() + HANG


def read():
    global seen
    if leader is None:
        time.sleep(0.05)
    elif select.select([leader], [], [], 0.05)[0]:
        seen += os.read(leader, 65536).decode(errors="replace")
    if time.monotonic() > deadline:
        os.kill(child, signal.SIGKILL)
        sys.exit(f"hangs; it printed {seen!r}")


start = 0
for number, (expected, keys) in enumerate(json.loads(sys.argv[1])):
    while not (found := re.search(expected, seen[start:])):
        read()
    start += found.end()
    print("step", number)
    if keys == "SIGTERM":
        os.kill(child, signal.SIGTERM)
    elif keys == "HANGUP":
        os.close(leader)
        leader = None
    else:
        os.write(leader, keys.encode())

status = 0
while not (ended := os.waitpid(child, os.WNOHANG))[0]:
    read()
while leader is not None and select.select([leader], [], [], 0)[0]:
    read()
is_as_before = leader is not None and termios.tcgetattr(follower) == before
print(json.dumps({"code": os.waitstatus_to_exitcode(ended[1]), "seen": seen, "is_as_before": is_as_before}))
