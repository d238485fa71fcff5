"""How many bits the weights of int8 may have on this processor, told without torch."""

from numpy._core._multiarray_umath import __cpu_features__ as _FEATURES  # what `numpy.show_runtime` prints


def weight_bits() -> int:
    """8 where sums of products of two 8-bit numbers are exact: on ARM, and on x86 with VNNI. Else 7.

    Without VNNI, x86 adds two products in 16 bits, which overflow unless one factor has 7 bits only.
    """
    return 7 if _FEATURES.get("SSE") and not _FEATURES.get("AVX512VNNI") else 8
