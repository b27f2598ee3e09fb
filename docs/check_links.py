"""Links of the built site, pages and anchors: python docs/check_links.py build/docs.

Those into the web are not followed; but no page may load anything from there, be it a font.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """anchors: what can be linked to. links: (line, address) of all that it links to or loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.anchors = path, {""}
        self.links: list[tuple[int, str]] = []
        self.loaded: list[tuple[int, str]] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        line, given = self.getpos()[0], {name: value or "" for name, value in attributes}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        for name in {"href", "src"} & given.keys():
            (self.links if tag == "a" else self.loaded).append((line, given[name]))


def wrong(folder: Path) -> list[str]:
    """A line for each link that leads nowhere, and for each thing that is loaded from the web."""
    pages = {path.resolve(): Page(path) for path in sorted(folder.rglob("*.html"))}
    if not pages:
        raise SystemExit(f"{folder}: no pages")
    found = []
    for path, page in pages.items():
        for line, address in page.links + page.loaded:
            parts, place = urlsplit(address), f"{page.path}:{line}: {address}"
            if parts.scheme or parts.netloc:
                if (line, address) in page.loaded and parts.scheme != "data":
                    found.append(f"{place}: loaded from the web")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                found.append(f"{place}: no such file")
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
                found.append(f"{place}: no such anchor")
    print(f"{len(pages)} pages, {sum(len(page.links) for page in pages.values())} links")
    return found


if __name__ == "__main__":
    if complaints := wrong(Path(sys.argv[1])):
        sys.exit("\n".join(complaints))
