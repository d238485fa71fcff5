"""Answers and requests, kept in sqlite, so that nothing is asked and paid for twice.

    answers    what a model said about a concept of a text: a row for each vote
    requests   what was sent, with its tokens and its price; the row is written before the request goes out

Neither holds the texts or the key. An answer is found by the model, the prompt (hash of all words and options besides
text and definitions), the text, the vote and the definition. So a changed definition leaves other answers valid, and a
changed prompt leaves the answers of the earlier one in the file.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sparsecbm.annotate.llm.question import Cell, Question
from sparsecbm.base.errors import DataError
from sparsecbm.base.workspace import Workspace

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    model TEXT, prompt TEXT, text TEXT, vote INTEGER, definition TEXT, state TEXT, probabilities TEXT,
    PRIMARY KEY (model, prompt, text, vote, definition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS requests (
    id INTEGER PRIMARY KEY, model TEXT, prompt TEXT, text TEXT, vote INTEGER, status TEXT, size INTEGER,
    tokens_in INTEGER, tokens_out INTEGER, money REAL, seconds REAL, served TEXT
);
"""
SENT, ANSWERED, FAILED, LOST = "sent", "answered", "failed", "lost"
_TEXTS = ("answers", "requests")  # tables with a column `text`, the key of a text
_WAIT = 30.0  # seconds for another one to close the file


@dataclass(frozen=True)
class Cost:
    """What one request took.

    Attributes:
        tokens_in, tokens_out: as the endpoint counted them, or an estimate
        money: US dollars; None where the price is unknown
        seconds: from sending to the answer
        served: what the endpoint says that it is, such as the version of the model
    """

    tokens_in: int
    tokens_out: int
    money: float | None
    seconds: float
    served: str | None = None


@dataclass(frozen=True)
class Spending:
    """What all requests together took, in this and in earlier runs."""

    requests: int
    tokens_in: int
    tokens_out: int
    money: float

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out


def cache_file(workspace: Workspace) -> Path:
    """The file of a workspace."""
    return workspace.state / "annotations" / "llm.sqlite"


class AnswerCache:
    """The open file, for one thread alone; others wait for it.

    Raises:
        DataError: the file is no such database, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._faults_explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=_WAIT, isolation_level=None)
            try:
                self._connection.execute("PRAGMA locking_mode=EXCLUSIVE")  # saves the locks of each transaction
                self._connection.execute("PRAGMA journal_mode=WAL")
                self._connection.execute("PRAGMA synchronous=NORMAL")
                self._connection.executescript(_SCHEMA)
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cells(self, model: str, prompt: str, text: str) -> dict[tuple[int, str], Cell]:
        """What is known of a text: (vote, hash of the definition) -> cell."""
        query = "SELECT vote, definition, state, probabilities FROM answers WHERE model=? AND prompt=? AND text=?"
        with self._faults_explained():
            rows = self._connection.execute(query, (model, prompt, text)).fetchall()
        return {
            (vote, definition): Cell(state, json.loads(probabilities) if probabilities else None)
            for vote, definition, state, probabilities in rows
        }

    def other_prompts(self, model: str, prompt: str) -> list[tuple[str, str, int]]:
        """Model, prompt and number of texts of the other answers in the file."""
        query = (
            "SELECT model, prompt, COUNT(DISTINCT text) FROM answers WHERE NOT (model=? AND prompt=?) "
            "GROUP BY model, prompt ORDER BY model, prompt"
        )
        with self._faults_explained():
            return self._connection.execute(query, (model, prompt)).fetchall()

    def begin(self, model: str, question: Question, size: int) -> int:
        """Note that a request goes out, before it does.

        Args:
            size: of the words that are sent, in bytes

        Returns:
            the number of the request
        """
        row = (model, question.prompt, question.key, question.vote, SENT, size)
        with self._faults_explained():
            cursor = self._connection.execute(
                "INSERT INTO requests (model, prompt, text, vote, status, size) VALUES (?, ?, ?, ?, ?, ?)", row
            )
        return int(cursor.lastrowid or 0)

    def finish(self, number: int, cost: Cost, cells: Iterable[tuple[str, Cell]] = ()) -> None:
        """Keep what came of a request, in one transaction.

        Args:
            cells: hash of the definition, and what the answer says of that concept
        """
        rows = [
            (number, definition, cell.state, json.dumps(cell.probabilities) if cell.probabilities else None)
            for definition, cell in cells
        ]
        with self._faults_explained():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.execute(
                    "UPDATE requests SET status=?, tokens_in=?, tokens_out=?, money=?, seconds=?, served=? WHERE id=?",
                    (ANSWERED, cost.tokens_in, cost.tokens_out, cost.money, cost.seconds, cost.served, number),
                )
                self._connection.executemany(
                    "INSERT OR REPLACE INTO answers SELECT model, prompt, text, vote, ?2, ?3, ?4 FROM requests "
                    "WHERE id=?1",
                    rows,
                )
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def add_abstentions(self, model: str, question: Question, definitions: Iterable[str]) -> None:
        """Keep that a model gave no valid state for some concepts, so that it is not asked for them again."""
        rows = [(model, question.prompt, question.key, question.vote, definition) for definition in definitions]
        with self._faults_explained():
            self._connection.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, NULL, NULL)", rows)

    def fail(self, number: int) -> None:
        """Note that a request was refused or got no answer."""
        with self._faults_explained():
            self._connection.execute("UPDATE requests SET status=? WHERE id=?", (FAILED, number))

    def give_up_lost(self) -> int:
        """Mark the requests that an ended run left without an answer; only while no other run is on.

        Returns:
            their number. The endpoint may have answered and charged them
        """
        with self._faults_explained():
            return self._connection.execute("UPDATE requests SET status=? WHERE status=?", (LOST, SENT)).rowcount

    def spending(self) -> Spending:
        """What all answered requests in the file took."""
        query = (
            "SELECT COUNT(*), COALESCE(SUM(tokens_in), 0), COALESCE(SUM(tokens_out), 0), COALESCE(SUM(money), 0.0) "
            "FROM requests WHERE status=?"
        )
        with self._faults_explained():
            return Spending(*self._connection.execute(query, (ANSWERED,)).fetchone())

    def history(self, model: str, limit: int = 1000) -> list[tuple[int, int, int, float | None]]:
        """Bytes of words, tokens in, tokens out and seconds of the latest answered requests to a model."""
        query = (
            "SELECT size, tokens_in, tokens_out, seconds FROM requests WHERE status=? AND model=? "
            "ORDER BY id DESC LIMIT ?"
        )
        with self._faults_explained():
            return self._connection.execute(query, (ANSWERED, model, limit)).fetchall()

    def served(self, model: str) -> set[str]:
        """What the endpoint said it is, over all answers of this model."""
        query = "SELECT DISTINCT served FROM requests WHERE status=? AND model=? AND served IS NOT NULL"
        with self._faults_explained():
            return {row[0] for row in self._connection.execute(query, (ANSWERED, model))}

    def count(self, text: str) -> int:
        """Number of answers and requests about a text, named by its key."""
        query = "SELECT COUNT(*) FROM {} WHERE text=?"
        with self._faults_explained():
            return sum(self._connection.execute(query.format(table), (text,)).fetchone()[0] for table in _TEXTS)

    def forget(self, text: str) -> None:
        """Remove the answers and requests about a text, and overwrite the pages that held them.

        Args:
            text: key of the text
        """
        with self._faults_explained():
            self._connection.execute("PRAGMA secure_delete=ON")
            for table in _TEXTS:
                self._connection.execute(f"DELETE FROM {table} WHERE text=?", (text,))
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _faults_explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            remedy = "free space, or move the file away, and all texts are asked again"
            if getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                remedy = "another process uses it; wait until that ends, then try again"
            raise DataError(
                f"{self.path}, which keeps the answers of language models, cannot be used ({error}); {remedy}"
            ) from None
