"""How many tokens words become, learnt from what the endpoint counted."""

from collections.abc import Iterable

BYTES_PER_TOKEN = 4.2  # of English prose in UTF-8, before anything was counted; other scripts have more bytes a letter


class TokenEstimator:
    """Estimates tokens from bytes; the more replies it sees, the closer.

    Args:
        history: bytes, tokens in, tokens out and seconds of earlier requests
        answer: a typical one
    """

    def __init__(self, history: Iterable[tuple[int, int, int, float | None]], answer: str) -> None:
        self.replies = self._timed = 0
        self._size = self._tokens_in = self._tokens_out = 0
        self._seconds = 0.0
        self.answer = answer
        for size, tokens_in, tokens_out, seconds in history:
            self.learn(size, tokens_in, tokens_out, seconds)

    def learn(self, size: int, tokens_in: int, tokens_out: int, seconds: float | None) -> None:
        """Take one count into account; without seconds, nothing was sent for it."""
        self.replies += 1
        self._size += size
        self._tokens_in += tokens_in
        self._tokens_out += tokens_out
        self._seconds += seconds or 0.0
        self._timed += seconds is not None

    def tokens_in(self, size: int) -> int:
        """Tokens of a prompt with so many bytes of words."""
        ratio = self._tokens_in / self._size if self._size else 1 / BYTES_PER_TOKEN
        return max(1, round(size * ratio))

    @property
    def tokens_out(self) -> float:
        """Tokens of one answer."""
        return self._tokens_out / self.replies if self.replies else len(self.answer.encode()) / BYTES_PER_TOKEN

    @property
    def seconds(self) -> float | None:
        """Seconds of one request; None before the first reply."""
        return self._seconds / self._timed if self._timed else None
