"""Prints facts about objects as JSON, one a line, then waits until its input ends."""
import asyncio
import ctypes
import datetime
import json
import sys
import weakref

kept = []


def put(kind, obj, want=None, **more):
    kept.append(obj)
    print(json.dumps(dict(kind=kind, id=id(obj), want=want, type=type(obj).__name__, **more)))


class Text(str):
    pass


class Number(int):
    pass


class Pair(tuple):
    pass


class Table(dict):
    pass


class Plain:
    pass


class Slotted:
    __slots__ = ("a", "__dict__")


class Deep(Plain):
    def __init__(self):
        for i in range(12):
            setattr(self, "base%d" % i, [i])


class Fault(Exception):
    pass


for text in ["", "a", "GET", "/caf\u00e9", "\u017c\u00f3\u0142w", "\U0001f600 smile", "x" * 300, "\u0142" * 299, "\u00e9\u00df", "a\u20acb" * 100,
             Text("markup"), Text("m\u00e4rk"), Text("\u017c"), Text("\U0001f600"), Text("")]:
    put("str", text, text)
put("long", "y" * 301, "y" * 300)
put("latin1", "/caf\u00c3\u00a9", "/caf\u00e9")
for number in [0, 1, -1, 255, -7, 2**30 - 1, 2**30, -(2**30), 2**45 + 7, 2**60, -(2**60) - 5, 2**63 - 1, -(2**63), Number(12), Number(-(2**40)), True, False]:
    put("int", number, str(int(number)))
for number in [2**63, -(2**63) - 1, 2**90, 2**400, -(2**400)]:
    put("huge", number)
for number in [0.0, 1.5, -2.25, 1e300, 0.1]:
    put("float", number, number)
put("bool", True, True)
put("bool", False, False)
put("none", None)
for data in [b"", b"GET", bytes(range(256)), b"z" * 300]:
    put("bytes", data, list(data))
put("longbytes", b"q" * 5000, list(b"q" * 300))

for items in [(), (1, "a", None), tuple(range(1000)), Pair("abc")]:
    put("tuple", items, [id(i) for i in items])
for items in [[], [1, 2, 3], list("hello world"), list(range(1000))]:
    put("list", items, [id(i) for i in items])
put("many", list(range(5000)))
gone = set(range(500))
for i in range(0, 400):
    gone.discard(i)
for items in [set(), {1, 2, 3}, frozenset("abc"), set(range(1000)), gone]:
    put("set", items, sorted(id(i) for i in items))
put("manyset", set(range(20000)))

holed = {"k%d" % i: [i] for i in range(300)}
for i in range(0, 290):
    del holed["k%d" % i]
mixed = {1: "one", "GET": "get", None: "none", "": "empty", (1, 2): "pair", "PATH": ["p"]}
huge = {"n%d" % i: i for i in range(70000)}
general = {i: str(i) for i in range(10)}
general.update(late=["late"])
for d in [{"a": [1]}, {"k%d" % i: [i] for i in range(300)}, holed, mixed, huge, general, Table(x=["x"], y=["y"]), dict.fromkeys(["p" * 64], ["deep"])]:
    keys = [k for k in d if isinstance(k, str) and k]
    keys = keys[:8000]
    for k in {keys[0], keys[-1], keys[len(keys) // 2]}:
        put("dict", d, str(id(d[k])), key=k, len=len(d))
    put("nokey", d, key="missing")
put("nokey", {}, key="missing")
put("nokey", huge, key="n69999")

# instances of each shape
early = Plain()
early.a, early.b = ["a"], ["b"]
late = Plain()
for i in range(40):
    setattr(late, "later%d" % i, [i])
asked = Plain()
asked.a = ["dict"]
asked.__dict__["extra"] = ["extra"]
deleted = Plain()
deleted.a, deleted.b, deleted.c = ["1"], ["2"], ["3"]
del deleted.b
fault = Fault("x")
fault.a = ["fault"]
text = Text("with")
text.a = ["text"]
number = Number(2**70)
number.a = ["number"]
negative = Number(-5)
negative.a = ["negative"]
pair = Pair((1, 2, 3))
pair.a = ["pair"]
sub = Table()
sub.a = ["table"]
slotted = Slotted()
slotted.a = ["slot"]
slotted.b = ["dict"]


def function():
    """A function with attributes."""


function.a = ["function"]
for obj in [early, late, asked, deleted, fault, text, number, negative, pair, sub, Deep(), function]:
    names = list(vars(obj))
    for name in {names[0], names[-1], names[len(names) // 2]}:
        put("attribute", obj, str(id(getattr(obj, name))), key=name)
    put("noattribute", obj, key="missing")
put("attribute", slotted, str(id(slotted.b)), key="b")
put("noattribute", deleted, key="b")
put("noattribute", Plain(), key="a")
put("noattribute", 5, key="a")

for moment in [datetime.datetime(2026, 11, 28, 7, 30, 59, 999999), datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59, 1),
               datetime.datetime(2026, 10, 25, 2, 30, fold=1)]:
    put("datetime", moment, list(moment.timetuple()[:6]) + [moment.microsecond], fold=moment.fold)


def outer():
    held = ["held"]

    def inner():
        return held

    return inner.__closure__[0], held


cell, held = outer()
put("cell", cell, str(id(held)))
target = Plain()
put("weakref", weakref.ref(target), str(id(target)))
put("deadref", weakref.ref(Plain()))
bound = target.__init__
put("function", function, str(id(function.__code__)))
put("functionname", function, "function")
put("functionname", outer, "outer")


class Bound:
    def call(self):
        pass


that = Bound()
put("method", that.call, str(id(that)))
put("module", asyncio, str(id(asyncio.get_event_loop_policy)), key="get_event_loop_policy")
try:
    get = ctypes.pythonapi.PyInterpreterState_Get
except AttributeError:
    get = ctypes.pythonapi._PyInterpreterState_Get
get.restype = ctypes.c_void_p
print(json.dumps(dict(kind="sysmodules", id=get(), want=str(id(asyncio.tasks)), key="asyncio.tasks")))


# frames and coroutines
def depth(first, /, second, *rest, third=("d",), **named):
    early = ["early"]
    captured = ["captured"]

    def closure():
        return captured, first, rest

    frame = sys._getframe()
    put("locals", frame, dict((k, id(v)) for k, v in locals().items() if k != "frame"), absent=["never"], code=id(frame.f_code))
    if closure is None:
        never = 1  # noqa: F841
    yield closure, early


generator = depth(["first"], ["second"], 3, 4, named=5)
next(generator)


class Await:
    def __await__(self):
        return (yield)


async def leaf():
    await Await()


async def stream():
    await leaf()
    yield 1


async def middle():
    async for _ in stream():
        pass


async def top():
    await middle()


chain = top()
chain.send(None)
put("chain", chain, ["coroutine", "coroutine", "async_generator", "coroutine", "generator"])
created = top()
put("state", created, "created")
done = leaf()
done.send(None)
try:
    done.send(None)
except StopIteration:
    pass
put("state", done, "finished")
put("state", generator, "suspended")


def running():
    put("state", itself, "running")
    print(json.dumps(dict(kind="end")))
    sys.stdout.flush()
    sys.stdin.read()
    yield


itself = running()
next(itself)
