"""The site of the documentation: how pages are staged, and that the built site is whole and needs no network."""

import importlib.util
import json
import re
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urldefrag

import pytest

from tests.support.browser import FLAGS, chromium, requests, until
from tests.support.project import ROOT

SPEC = importlib.util.spec_from_file_location("docs_site", ROOT / "tools" / "docs_site.py")
docs_site = importlib.util.module_from_spec(SPEC)
sys.modules["docs_site"] = docs_site
SPEC.loader.exec_module(docs_site)


@pytest.fixture
def repository(tmp_path):
    """Return a repository with a page, a page outside of docs/, a notebook and a source file."""
    root = tmp_path / "repository"
    for path, text in {
        "docs/how-to/a.md": "# A\n[card](../../data/restaurants/README.md#fields) [code](../../lib/x.py) [b](../b.md)\n"
        "![picture](../img/p.svg) [web](https://example.org/a.md)\n```sh\n[not](a/link.md)\n```\n",
        "docs/b.md": "# B\n[change](../CHANGELOG.md)\n",
        "docs/img/p.svg": "<svg/>",
        "docs/notebooks/n.ipynb": json.dumps(
            {
                "cells": [
                    {"cell_type": "markdown", "source": ["# N\n", "\n", "See [b](../b.md)."]},
                    {"cell_type": "code", "source": ["1 + 1"]},
                ]
            }
        ),
        "data/restaurants/README.md": "---\nlicense: x\n---\n\n# Card\n[all](../../docs/notebooks/n.ipynb)\n",
        "CHANGELOG.md": "# Changelog\n[docs](docs/how-to/a.md)\n",
        "lib/x.py": "x = 1\n",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return root


def test_staged_links_lead_to_the_places_of_the_site(repository, tmp_path):
    target = tmp_path / "staged"
    (target / "old").mkdir(parents=True)
    docs_site.stage(repository, target)
    files = sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())
    assert files == [
        "b.md", "changelog.md", "data-restaurants.md", "files/lib/x.py", "how-to/a.md", "img/p.svg",
        "notebooks/n.ipynb", "notebooks/n.md",
    ]  # fmt: skip
    assert (target / "how-to" / "a.md").read_text() == (
        "# A\n[card](../data-restaurants.md#fields) [code](../files/lib/x.py) [b](../b.md)\n"
        "![picture](../img/p.svg) [web](https://example.org/a.md)\n```sh\n[not](a/link.md)\n```\n"
    )
    assert (target / "data-restaurants.md").read_text() == "# Card\n[all](notebooks/n.md)\n"
    assert (target / "changelog.md").read_text() == "# Changelog\n[docs](how-to/a.md)\n"
    assert (target / "notebooks" / "n.md").read_text() == (
        "# N\n\n[Download this notebook](n.ipynb). A test runs all of it.\n\nSee [b](../b.md).\n\n"
        "```python\n1 + 1\n```\n"
    )


def test_a_picture_for_each_theme_is_shown_in_its_theme(repository, tmp_path):
    for name in ("q.png", "q-dark.png"):
        (repository / "docs" / "img" / name).write_bytes(b"")
    (repository / "docs" / "how-to" / "a.md").write_text("![q](../img/q.png)\n[q](../img/q.png)\n")
    docs_site.stage(repository, tmp_path / "staged")
    assert (tmp_path / "staged" / "how-to" / "a.md").read_text() == (
        "![q](../img/q.png#only-light)\n![q](../img/q-dark.png#only-dark)\n[q](../img/q.png)\n"
    )


def test_links_to_nothing_and_to_folders_are_told_together(repository, tmp_path):
    (repository / "docs" / "b.md").write_text("# B\n[x](gone.md) [y](../lib) [z](../../outside.md)\n")
    with pytest.raises(docs_site.SiteError) as raised:
        docs_site.stage(repository, tmp_path / "staged")
    assert str(raised.value).splitlines() == [
        f"docs/b.md: {address} is no file and no folder with a page"
        for address in ("gone.md", "../lib", "../../outside.md")
    ]


def test_lists_get_the_indentation_that_the_generator_needs():
    numbered = "1. One:\n\n   ```python\n   a = 1\n   ```\n\n2. Two\n   goes on\n   - nested\n     on\n"
    assert docs_site.deeper_lists(numbered) == (
        "1. One:\n\n    ```python\n    a = 1\n    ```\n\n2. Two\n    goes on\n\n    - nested\n        on\n"
    )
    assert docs_site.deeper_lists("Text\n- a\n  - b\n") == "Text\n\n- a\n    - b\n"
    code = "```text\n- no item\n    - none\n```\n"
    assert docs_site.deeper_lists(code) == code


class Page(HTMLParser):
    """Addresses, anchors and counts of one page of the site."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.assets: list[str] = []
        self.anchors: set[str] = set()
        self.items = self.blocks = self.depth = 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors |= {found[name] for name in ("id", "name") if found.get(name)}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif tag in ("script", "img", "link", "iframe", "source") and (found.get("src") or found.get("href")):
            self.assets.append(found.get("src") or found["href"])
        self.depth += tag == "article"
        self.items += self.depth > 0 and tag == "li"
        self.blocks += self.depth > 0 and tag == "pre"

    def handle_endtag(self, tag):
        self.depth -= tag == "article"


@pytest.fixture(scope="module")
def site():
    """Return the folder of the built site."""
    pytest.importorskip("zensical", reason="the extra `docs` is not installed")
    docs_site.stage(ROOT, ROOT / docs_site.SOURCE)
    code, printed = docs_site.build(ROOT)
    assert code == 0, printed
    return ROOT / "build" / "site"


@pytest.fixture(scope="module")
def site_pages(site):
    return {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html")) if path.stem != "404"}


def test_the_site_has_every_page(site_pages, site):
    built = {path.relative_to(site).with_suffix("").as_posix() for path in site_pages}
    expected = {path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    expected = {name.replace("README", "index") if name.endswith("/README") else name for name in expected}
    assert expected <= built and {"security", "changelog", "notebooks/train-and-explain"} <= built


def test_nothing_of_the_site_comes_from_outside(site_pages, site):
    addresses = {asset for page in site_pages.values() for asset in page.assets}
    assert [address for address in addresses if re.match(r"(\w+:)?//", address)] == []
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//[^)\"']*", styles) == []


def test_all_links_and_anchors_of_the_site_resolve(site_pages):
    dead = []
    for path, page in site_pages.items():
        for link in [*page.links, *page.assets]:
            address, anchor = urldefrag(unquote(link))
            if re.match(r"\w+:", address):
                continue
            target = (path.parent / address).resolve() if address else path
            if not target.is_file() or (anchor and target in site_pages and anchor not in site_pages[target].anchors):
                dead.append(f"{path.name}: {link}")
    assert dead == []


def test_lists_and_code_come_out_as_in_the_repository(site_pages, site):
    """The generator reads another Markdown than GitHub, so both are compared by what they make of a page."""
    markdown = pytest.importorskip("markdown_it").MarkdownIt().enable("table")
    compared = 0
    for path, page in site_pages.items():
        source = ROOT / "docs" / path.relative_to(site).with_suffix(".md")
        if not source.is_file() or "reference/python" in source.as_posix():
            continue
        tokens = markdown.parse(source.read_text(encoding="utf-8"))
        expected = [sum(t.type == "list_item_open" for t in tokens), sum(t.type == "fence" for t in tokens)]
        assert [page.items, page.blocks] == expected, source.name
        compared += 1
    assert compared > 30


def test_the_search_works_from_disk_and_asks_nobody(site, tmp_path):
    with chromium(tmp_path, *FLAGS, logs=True) as driver:
        driver.get(f"file://{site}/index.html")
        requests(driver)
        driver.get(f"file://{site}/how-to/s3.html")
        until(driver, lambda: driver.find_elements("css selector", ".md-search__button"))[0].click()
        # The field and the results are in the shadow of an element that gets the focus.
        until(driver, lambda: driver.execute_script("return document.activeElement.shadowRoot !== null"))
        driver.switch_to.active_element.send_keys("quarantine")
        shadow = "return document.activeElement.shadowRoot?.textContent ?? ''"
        until(driver, lambda: "quarantine.parquet" in driver.execute_script(shadow))
        assert [address for address in requests(driver) if not re.match(r"(file|data|about|blob):", address)] == []
