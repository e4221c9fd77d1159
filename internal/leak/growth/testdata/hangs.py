"""A list of the collector leads into a page that does not come (userfaultfd(2))."""

import ctypes
import gc

c = ctypes.CDLL(None)
c.mmap.restype = ctypes.c_void_p
fd = c.syscall(323, 0o2004000)
api = (ctypes.c_uint64 * 3)(0xAA)
page = c.mmap(None, 4096, 3, 0x22, -1, 0)
area = (ctypes.c_uint64 * 4)(page, 4096, 1)
if fd < 0 or c.ioctl(fd, ctypes.c_ulong(0xC018AA3F), api) or c.ioctl(fd, ctypes.c_ulong(0xC020AA00), area):
    raise OSError("userfaultfd")
gc.disable()
kept = []
print("ready", flush=True)
ctypes.c_uint64.from_address(id(kept) - 16).value = page
c.pause()
