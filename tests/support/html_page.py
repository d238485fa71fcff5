"""HTML pages for tests."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """A parsed page: elements with their attributes, texts and scripts."""

    def __init__(self, html: str):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.scripts: list[str] = []
        self.texts: list[str] = []
        self._script = False
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._script = tag == "script"

    def handle_endtag(self, tag):
        self._script = False

    def handle_data(self, data):
        (self.scripts if self._script else self.texts).append(data)

    def find(self, tag: str, **attributes: str) -> list[dict]:
        """Return the attributes of all elements with a tag and the given attributes."""
        return [element for name, element in self.elements if name == tag and attributes.items() <= element.items()]
