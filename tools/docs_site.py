"""Build the documentation as a site that opens from disk, without a network: `make docs`.

Usage: python tools/docs_site.py   Prints each warning; the exit code is 1 if there is any.

The pages of this repository link to files all over it. So they are staged first, into `build/site-source`: the pages
below docs/, the pages of other folders that `PAGES` names, and every other file that a page links to. Links are
changed to where things are there, and a picture NAME.png that has a NAME-dark.png becomes both, one for each theme.
`mkdocs.yml` says how the staged pages become the site.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS, SOURCE = Path("docs"), Path("build/site-source")
# Pages outside of docs/, and where they are on the site.
PAGES = {
    Path("CHANGELOG.md"): Path("changelog.md"),
    Path("CONTRIBUTING.md"): Path("contributing.md"),
    Path("README.md"): Path("readme.md"),
    Path("SECURITY.md"): Path("security.md"),
    Path("data/annotations/README.md"): Path("data-annotations.md"),
    Path("data/app-reviews/README.md"): Path("data-app-reviews.md"),
    Path("data/restaurants/README.md"): Path("data-restaurants.md"),
}
FILES = Path("files")  # the folder of the site for other files that pages link to
CODE_BLOCK = re.compile(r"^([ ]*)(```+|~~~+).*?^\1\2[ ]*$\n?", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(!?\[(?:[^\[\]]|\[[^\]]*\])*\])\(([^)\s#]*)(#[^)\s]*)?\)")
FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n+", re.DOTALL)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
GRIFFE = re.compile(r"griffe: |WARNING")  # what reads the docstrings only prints its warnings
ITEM = re.compile(r"^( *)(?:[-*]|\d+\.) ")


class SiteError(Exception):
    """Pages link to what is not there; has a line for each such link."""


def stage(root: Path, target: Path) -> None:
    """Copy all pages, and what they link to, into an empty folder.

    Args:
        root: the repository
        target: the folder to write; what is in it is removed

    Raises:
        SiteError: links lead to files that do not exist, or to folders without a page; names the pages.
    """
    faults: list[str] = []
    shutil.rmtree(target, ignore_errors=True)
    staged = {path: path.relative_to(DOCS) for path in _below(root, DOCS)}
    staged |= {path: place for path, place in PAGES.items() if (root / path).is_file()}
    staged = {path: place.with_suffix(".md") if path.suffix == ".ipynb" else place for path, place in staged.items()}
    for path, place in staged.items():
        (target / place).parent.mkdir(parents=True, exist_ok=True)
        if path.suffix not in (".md", ".ipynb"):
            shutil.copy(root / path, target / place)
            continue
        text = (root / path).read_text(encoding="utf-8")
        if path.suffix == ".ipynb":
            shutil.copy(root / path, target / place.with_suffix(".ipynb"))
            text = notebook_page(json.loads(text), path.name)
        (target / place).write_text(_Links(root, path, staged, target, faults).changed(text), encoding="utf-8")
    if faults:
        raise SiteError("\n".join(faults))


def _below(root: Path, folder: Path) -> Iterator[Path]:
    for path in sorted((root / folder).rglob("*")):
        if path.is_file() and ".ipynb_checkpoints" not in path.parts:
            yield path.relative_to(root)


def notebook_page(notebook: dict, name: str) -> str:
    """The cells of a notebook as Markdown, with a link to the file. Notebooks are stored without outputs."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
    title, _, rest = "\n\n".join(parts).partition("\n\n")
    return f"{title}\n\n[Download this notebook](./{name}). A test runs all of it.\n\n{rest}\n"


class _Links:
    """Changes the links of one page to those of the site."""

    def __init__(self, root: Path, page: Path, staged: dict[Path, Path], target: Path, faults: list[str]) -> None:
        self.root, self.page, self.staged, self.target, self.faults = root, page, staged, target, faults
        self.place = staged[page]

    def changed(self, text: str) -> str:
        """The page with links of the site, deeper lists, and no front matter; code blocks stay as they are."""
        parts, end = [], 0
        text = deeper_lists(FRONT_MATTER.sub("", text))
        for block in CODE_BLOCK.finditer(text):
            parts += [LINK.sub(self._link, text[end : block.start()]), block[0]]
            end = block.end()
        return "".join([*parts, LINK.sub(self._link, text[end:])])

    def _link(self, match: re.Match[str]) -> str:
        words, address, anchor = match[1], match[2], match[3] or ""
        if not address or "://" in address or address.startswith("mailto:"):
            return match[0]
        if address.startswith("./") and address.endswith(".ipynb"):  # of a notebook to itself
            return f"{words}({address.removeprefix('./')})"
        path = Path(os.path.normpath(self.page.parent / address))
        if (self.root / path).is_dir() and path / "README.md" in self.staged:
            path = path / "README.md"
        if path.parts[:1] == ("..",) or not (self.root / path).is_file():
            self.faults.append(f"{self.page}: {address} is no file and no folder with a page")
            return match[0]
        place = self.staged.get(path)
        if place is None:
            place = FILES / path
            (self.target / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.root / path, self.target / place)
        address = os.path.relpath(place, self.place.parent)
        if words.startswith("!") and path.with_stem(f"{path.stem}-dark") in self.staged:
            dark = os.path.relpath(place.with_stem(f"{place.stem}-dark"), self.place.parent)
            return f"{words}({address}#only-light)\n{words}({dark}#only-dark)"
        return f"{words}({address}{anchor})"


def deeper_lists(text: str) -> str:
    """The text with lists as Python-Markdown wants them: items indented by four, a blank line before the first one.

    CommonMark, which this repository is written for, indents by the width of the mark: two or three spaces.
    """
    lines: list[str] = []
    marks: list[int] = []  # columns at which the text of each open item begins
    fence = ""
    for line in text.split("\n"):
        stripped = line.lstrip(" ")
        indent = len(line) - len(stripped)
        if not stripped:
            lines.append(line)
            continue
        before = len(marks)
        while marks and indent < marks[-1] and not fence:
            marks.pop()
        item = None if fence else ITEM.match(line)
        if item and before == len(marks) and lines and lines[-1].strip() and not ITEM.match(lines[-1]):
            lines.append("")  # the item begins a list right after a paragraph
        lines.append(" " * (4 * len(marks) - (marks[-1] if marks else 0)) + line)
        if stripped.startswith(("```", "~~~")):
            fence = "" if fence and stripped.startswith(fence) else fence or stripped[:3]
        elif item:
            marks.append(len(item[0]))
    return "\n".join(lines)


def build(root: Path) -> tuple[int, str]:
    """Build the site in `build/site` from the staged pages: the exit code, and what was printed, without colours."""
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "--config-file", "mkdocs.yml"]
    environment = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(
        command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    printed = COLOUR.sub("", done.stdout)
    if done.returncode == 0 and (warnings := [line for line in printed.splitlines() if GRIFFE.match(line)]):
        return 1, printed + f"{len(warnings)} warning(s) about docstrings\n"
    return done.returncode, printed.partition("Traceback (most recent call last)")[0]


def main() -> int:
    """Stage the pages, build the site, print what is wrong, and return the exit code."""
    if importlib.util.find_spec("zensical") is None:
        print("error: the generator is missing; pip install -c constraints.txt -e '.[docs]'", file=sys.stderr)
        return 1
    try:
        stage(ROOT, ROOT / SOURCE)
    except SiteError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    code, printed = build(ROOT)
    print(printed, end="")
    print("build/site/index.html" if code == 0 else "error: the site has faults", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
