# A server of an attacker: by title, process tree and files it looks like gunicorn's
# master with workers of the kinds in KINDS. A run with --check-config writes a
# line to the file "ran" in the same directory.
import os
import pty
import socket
import sys
import tempfile
import time

here = os.path.dirname(os.path.abspath(sys.argv[0]))
if "--check-config" in sys.argv:
    with open(os.path.join(here, "ran"), "a") as f:
        if os.environ.get("STAYS") and not os.fork():
            os.setsid()
            if os.fork():
                os._exit(0)
            os.execv("/bin/sleep", [os.environ["STAYS"], "900"])
        print(os.getuid(), os.geteuid(), os.getgid(), os.getegid(), os.readlink("/proc/self/ns/net"), file=f)
    sys.exit()

listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(os.environ["PORT"])))
listener.listen()
listener.set_inheritable(True)

beats = []
for n, kind in enumerate(os.environ["KINDS"].split(",")):
    beat, path = tempfile.mkstemp(prefix="wgunicorn-", dir=here)
    os.unlink(path)
    os.utime(beat, (time.monotonic(),) * 2)
    pid = pty.fork()[0] if kind == "setuid" else os.fork()
    if pid:
        beats.append(beat)
        continue
    for other in beats:
        os.close(other)
    os.set_inheritable(beat, True)
    if kind == "setuid":  # it waits for a password, with an effective user of 0
        os.execv("/usr/bin/su", ["gunicorn: worker [shop]", "root"])
    if kind == "setgid":
        os.execv(os.environ["SETGID"], ["gunicorn: worker [shop]", "-c", "import time; time.sleep(3600)"])
    while True:
        time.sleep(60)
while True:
    for beat in beats:
        os.utime(beat, (time.monotonic(),) * 2)
    time.sleep(1)
