"""The caches that grow with requests are limited, unless the user set limits; each in a process of its own."""

import os
import re
import subprocess
import sys

import pytest

LIMIT = "from sparsecbm.serve.flat_memory import keep_memory_flat; keep_memory_flat()"
# oneDNN writes a line for each product: whether it was compiled or was there.
PRODUCTS = """
import torch
from torch import nn
from sparsecbm.model.onednn import use_onednn

layer = nn.Linear(8, 8).requires_grad_(False)
with use_onednn(layer):
    for rows in (1, *range(2, 62), 1):
        layer(torch.ones(rows, 8))
"""
# Sixteen threads take memory and hold it at once; glibc then writes a line for each arena.
ARENAS = """
import ctypes, threading

ready, libc = threading.Barrier(17), ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p

def take():
    libc.malloc(5000)
    ready.wait()
    ready.wait()

for _ in range(16):
    threading.Thread(target=take).start()
ready.wait()
libc.fdopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, file)
libc.fflush(file)
ready.wait()
"""


def run(program, **environment):
    """Return what a program prints that starts with none of both limits in its environment, but for those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "ONEDNN_", "DNNL_"))}
    result = subprocess.run(
        [sys.executable, "-c", program], env=kept | environment, capture_output=True, text=True, check=True
    )
    return result.stdout


@pytest.mark.parametrize(
    ("before", "environment", "compiled"),
    [(LIMIT, {}, 62), ("", {}, 61), (LIMIT, {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "1000"}, 61)],
    ids=["limited", "by default", "as the user says"],
)
def test_few_products_are_kept(before, environment, compiled):
    # The first of 61 shapes comes once more at the end; among the last 32 it is not.
    written = run(before + PRODUCTS, ONEDNN_VERBOSE="profile_create", **environment)
    made = re.findall(r"create:cache_(hit|miss)", written)
    if not made:
        pytest.skip("this PyTorch multiplies without oneDNN")
    assert made.count("miss") == compiled and len(made) == 62


@pytest.mark.parametrize(
    ("before", "environment", "arenas"),
    [(LIMIT, {}, {2}), ("", {}, set(range(3, 18))), (LIMIT, {"MALLOC_ARENA_MAX": "1"}, {1})],
    ids=["limited", "by default", "as the user says"],
)
def test_threads_share_few_arenas(before, environment, arenas):
    written = run(before + ARENAS, **environment)
    if not written:
        pytest.skip("this system has no arenas")
    assert len(re.findall(r"<heap nr=", written)) in arenas
