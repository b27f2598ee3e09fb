"""The package's docstrings as reStructuredText, for autodoc.

In the source they are plain text: `code` in single backticks, attributes as labels_, and sections such as
"Args:" with entries "name: text", of which a short one may share its line with the next.
"""

import inspect
import re

import tfkm

SECTIONS = ("Args", "Attributes", "Returns", "Raises", "Source", "Sources")
_HEAD = re.compile(rf"({'|'.join(SECTIONS)}):(?: (.*))?$")
_NAMES = r"\*{0,2}\w+(?:, \w+)*"
_ENTRY = re.compile(rf"(?:^|\n|(?<=\. ))({_NAMES}): ")


def public_names() -> dict[str, str]:
    """What a docstring may call a public name, and the full name."""
    names = {
        name: f"tfkm.{name}" for name in tfkm.__all__ if not inspect.ismodule(getattr(tfkm, name))
    }
    names |= {full: full for full in list(names.values())}
    for module in filter(inspect.ismodule, (getattr(tfkm, name) for name in tfkm.__all__)):
        own = [name for name, value in vars(module).items() if _is_of(value, module)]
        for name in getattr(module, "__all__", own):
            names.setdefault(f"{module.__name__}.{name}", f"{module.__name__}.{name}")
    return names | {"tfkm.ops.backends.State": "tfkm.ops.backends.State"}


def _is_of(value, module) -> bool:
    return getattr(value, "__module__", None) == module.__name__ and value.__name__[0] != "_"


def inline(text: str, links: dict[str, str]) -> str:
    """A line of text: code and links for what is in backticks, and nothing that only looks like markup."""

    def marked(match: re.Match) -> str:
        quoted, attribute, special = match.groups()
        if special:
            return f"\\{special}"
        code = (
            f":py:obj:`{quoted} <{links[quoted]}>`"
            if quoted in links
            else f"``{quoted or attribute}``"
        )
        # Markup has to stand alone; an escaped blank is none.
        before, after = text[: match.start()][-1:], text[match.end() :][:1]
        return "\\ " * (before not in ("", *" ([")) + code + "\\ " * after.isalnum()

    return re.sub(r"`([^`]+)`|\b(\w*[A-Za-z]_)(?!\w)|([\\*|])", marked, text)


def entries(text: str) -> list[tuple[str, str]]:
    """(names, text) of a section's body, whose entries begin a line or follow the end of a sentence."""
    _, *parts = _ENTRY.split("\n" + text)
    return list(zip(parts[::2], parts[1::2], strict=True))


def as_list(text: str, links: dict[str, str]) -> list[str]:
    """A list of the entries; a paragraph if there are none."""
    found = entries(text)
    if not found:
        return [inline(" ".join(text.split()), links)]
    rest = _ENTRY.split("\n" + text)[0].strip()
    lines = [inline(rest, links), ""] if rest else []
    for names, said in found:
        names = ", ".join(f"``{name}``" for name in names.split(", "))
        sentence, *further = said.split("\n")  # a line that is no entry is about the section
        lines.append(f"- {names}: {inline(' '.join(sentence.split()), links)}")
        lines += ["", *(inline(line, links) for line in further), ""] if further else []
    return lines


def section(title: str, body: list[str], links: dict[str, str]) -> list[str]:
    base = min((len(line) - len(line.lstrip()) for line in body[1:] if line.strip()), default=0)
    # One line for each at the least indentation, with what continues it.
    text = body[0].strip()
    for line in body[1:]:
        begins = len(line) - len(line.lstrip()) == base and _ENTRY.match(line.strip())
        text += ("\n" if begins or not text else " ") + line.strip()
    if title.startswith(("Returns", "Source")):
        content = [inline(" ".join(text.split()), links)]
    else:
        content = as_list(text.strip(), links)
    return ["", f"**{title}**", "", *content, ""]


def converted(lines: list[str], fields: tuple[str, ...] = ()) -> list[str]:
    """The docstring in reStructuredText. fields: of a record, whose paragraphs may be entries, too."""
    links, result, at = public_names(), [], 0
    while at < len(lines):
        line = lines[at]
        head = _HEAD.match(line)
        end = at + 1
        if line.startswith(">>>"):
            while end < len(lines) and lines[end].strip():
                end += 1
            result += ["", *lines[at:end], ""]
        elif head or (fields and line.partition(":")[0].split(", ")[0] in fields):
            while end < len(lines) and (lines[end].startswith(" ") if head else lines[end].strip()):
                end += 1
            if head:
                result += section(head[1], [head[2] or "", *lines[at + 1 : end]], links)
            else:
                result += section("Fields", ["", *lines[at:end]], links)
        elif line.startswith("- "):
            result += [inline(line, links)]
        else:
            result.append(inline(line, links))
        at = end
    return result


def setup(app) -> dict[str, bool]:
    def process(app, what, name, value, options, lines) -> None:
        lines[:] = converted(list(lines), getattr(value, "_fields", ()))

    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True}
