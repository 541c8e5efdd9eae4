"""Spans of minutes, each (first, last) with both ends in it, in order and apart from each other."""

from collections.abc import Sequence

Span = tuple[int, int]


def with_span(spans: Sequence[Span], first: int, last: int, most: int) -> list[Span]:
    """With one more; of more than `most` the two earliest become one, with what was between them."""
    merged = [(first, last)]
    for begin, end in sorted(spans):
        if begin <= merged[0][1] + 1 and merged[0][0] <= end + 1:
            merged[0] = (min(begin, merged[0][0]), max(end, merged[0][1]))
        else:
            merged.append((begin, end))
    merged.sort()
    if len(merged) > most:
        merged[:2] = [(merged[0][0], merged[1][1])]
    return merged


def bits_within(spans: Sequence[Span], first: int, count: int) -> int:
    """One bit for each of `count` minutes from `first` on that lies in a span."""
    bits = 0
    for span in spans:
        begin, end = max(span[0], first), min(span[1], first + count - 1)
        if begin <= end:
            bits |= ((1 << (end - begin + 1)) - 1) << (begin - first)
    return bits
