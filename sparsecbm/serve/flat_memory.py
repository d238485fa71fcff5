"""Keeps the resident memory of a process flat that answers requests of many shapes for weeks.

Two caches grow with the requests, both without use here. oneDNN keeps a compiled product for each shape of a matrix, up
to 1,024 of them, and batches have hundreds of shapes. glibc gives each thread an arena of its own, up to eight for each
core, and arenas do not share what was freed.
"""

import ctypes
import os
from collections.abc import MutableMapping

PRODUCTS = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
PRODUCTS_KEPT = "32"  # those of the last ten batches or so; to compile one anew takes less than 1 % of a pass
ARENAS = "MALLOC_ARENA_MAX"
ARENAS_AT_MOST = 2  # one for the thread that runs the model, and one for the others
_M_ARENA_MAX = -8  # of mallopt(3)


def keep_memory_flat(environment: MutableMapping[str, str] = os.environ) -> None:
    """Limit both caches, unless the user set a limit in the environment; call it before the first product.

    oneDNN reads its limit when it multiplies first. glibc reads its own when a program starts, so it is told by a call.
    Libraries without this call, such as musl, have no arenas.
    """
    environment.setdefault(PRODUCTS, PRODUCTS_KEPT)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and ARENAS not in environment:
        mallopt(_M_ARENA_MAX, ARENAS_AT_MOST)
