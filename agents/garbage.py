"""The garbage collector of processes that make millions of objects which no cycle holds."""

import gc


def tame_garbage_collection() -> None:
    """Collect rarely, and never what the start has made: the default settings take 40 % of all CPU."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 50, 1_000)
