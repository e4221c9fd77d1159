"""Threads that call each other's functions at random, and say in shared memory where they are.

Arguments: a seed, a mode (blocked, spinning, alternating, tight), a number of threads.
One line of JSON names the threads, the shared memory and the functions: in which
lines each is, and which function each of its lines calls.
"""
import json
import mmap
import os
import random
import sys
import threading
import time

seed, mode, threads = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
rng = random.Random(seed)
FILE = "/srv/moving/app.py"
SLOT = 4096
DEEPEST = 14
COUNT = 40

fd = os.memfd_create("truth")
os.ftruncate(fd, SLOT * threads)
words = memoryview(mmap.mmap(fd, SLOT * threads)).cast("Q")  # each is written at once


def generate():
    """Returns the source, and of each function its lines and what they call."""
    lines, known = [], {}

    def add(text, calls=None):
        lines.append(text)
        if calls:
            current["calls"][len(lines)] = calls

    for i in range(COUNT):
        name = "fn_%d" % i
        current = known[name] = {"id": i + 1, "first": len(lines) + 1, "calls": {}}
        for _ in range(rng.randrange(3)):
            lines.append("")
        yields = KINDS[i] == "generator"
        current["first"] = len(lines) + 1
        add("def %s(t, n):" % name)
        add("    t.push(%d)" % (i + 1), "push")
        add("    x = n * 3 + 1")
        add("    if n == 0:")
        add("        t.leaf()", "leaf")
        for choice in range(rng.randrange(2, 5)):
            callee = rng.randrange(COUNT)
            add("    elif t.rng.random() < 0.5:" if choice < 3 else "    else:")
            for _ in range(rng.randrange(3)):
                add("        x += 1")
            call = "fn_%d(t, n - 1)" % callee
            if KINDS[callee] == "generator":
                call = "list(%s)" % call
            add("        " + call, "fn_%d" % callee)
        add("    t.pop()", "pop")
        if yields:
            add("    yield x")
        current["last"] = len(lines)
        lines.append("")
    return "\n".join(lines), known


def tight():
    """Returns the same for functions that call small ones, line after line, for ever."""
    lines, known = [], {}

    def define(name, calls, loops):
        lines.append("def %s(t, n):" % name)
        known[name] = {"id": len(known) + 1, "first": len(lines), "calls": {}}
        if loops:
            lines.append("    while True:")
        for callee in calls:
            if callee is None:
                lines.append("        x = n * 5" if loops else "    x = n * 5")
            else:
                lines.append(("        %s(t, n)" if loops else "    %s(t, n)") % callee)
                known[name]["calls"][len(lines)] = callee
        lines.append("    return n")
        known[name]["last"] = len(lines)

    for i in range(COUNT - 1):
        below = ["fn_%d" % j for j in range(max(0, i - 8), i - 2)] if i % 3 == 2 else []
        define("fn_%d" % i, [rng.choice(below + [None, None]) if below else None for _ in range(rng.randrange(1, 6))], False)
    define("fn_%d" % (COUNT - 1), [rng.choice([None] + ["fn_%d" % j for j in range(COUNT - 1)]) for _ in range(8)], True)
    return "\n".join(lines), known


class Tracker:
    def __init__(self, slot):
        self.at = slot * SLOT // 8
        self.depth = 0
        self.moves = 0
        self.rng = random.Random(seed * 1000 + slot)

    def push(self, i):
        words[self.at + 1 + self.depth] = i
        self.depth += 1
        self.moves += 1
        words[self.at] = self.moves << 8 | self.depth

    def pop(self):
        self.depth -= 1
        self.moves += 1
        words[self.at] = self.moves << 8 | self.depth

    def leaf(self):
        if mode == "blocked":
            time.sleep(self.rng.random() * 0.1 + 0.02)
        elif mode == "alternating" and self.rng.random() < 0.7:
            time.sleep(self.rng.random() * 0.002)
        else:
            x = 0
            for i in range(self.rng.randrange(200)):
                x += i * i


def run(slot, start):
    t = Tracker(slot)
    if mode == "tight":
        words[t.at] = 255  # it does not say where it is
        functions[COUNT - 1](t, 1)
    while True:
        f = functions[t.rng.randrange(COUNT)]
        x = f(t, t.rng.randrange(DEEPEST))
        if x is not None:
            list(x)


KINDS = ["generator" if rng.random() < 0.15 else "function" for _ in range(COUNT)]
source, known = tight() if mode == "tight" else generate()
space = {}
exec(compile(source, FILE, "exec"), space)
functions = [space["fn_%d" % i] for i in range(COUNT)]
workers = [threading.Thread(target=run, args=(i, 0), daemon=True) for i in range(1, threads)]
for w in workers:
    w.start()
ids = [threading.get_native_id()] + [w.native_id for w in workers]
print(json.dumps({"threads": ids, "fd": fd, "functions": known, "file": FILE}), flush=True)
run(0, 0)
