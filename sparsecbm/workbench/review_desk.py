"""The review queues of the people who label on the page, one for each author and split."""

from sparsecbm.annotate.review.queue import ReviewQueue
from sparsecbm.base.workspace import Workspace


class ReviewDesk:
    """Opens a queue when an author first asks, and keeps it, since its order takes long to compute.

    The texts that people hold come free after a while.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._queues: dict[tuple[str, str], ReviewQueue] = {}

    def queue(self, author: str, split: str) -> ReviewQueue:
        """The queue of an author.

        Raises:
            DataError: there are no texts, or there is no such split.
        """
        key = (author, split)
        if key not in self._queues:
            self._queues[key] = ReviewQueue.open(self._workspace, split, author)
        return self._queues[key]
