"""Refuse words that make a reader stop: `make check` runs this on Markdown, Python, YAML and the Makefile.

`plain_english.toml` lists the words, what to write instead, and how many of each every folder still has. A folder may have
fewer, never more; `python tools/plain_english.py --lower` writes today's numbers. In Python this reads comments and strings
with a space, in fenced code and the Makefile comments, elsewhere every line. It skips `code` and the targets of links.

Why our own: codespell knows single words only and also reads names, proselint takes no list, vale downloads a program.
"""

import ast
import re
import sys
import tokenize
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIST = Path(__file__).with_suffix(".toml")
GENERATED = "# --- python tools/plain_english.py --lower writes what follows ---\n"
SUFFIXES = frozenset({".md", ".py", ".yaml", ".yml"})
SKIPPED = re.compile(r"`[^`\n]*`|\]\([^)\n]*\)|https?://\S+")
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Words:
    """Regular expressions of words, with what to write instead, and how many of each a folder may have."""

    instead: dict[str, str]
    allowed: dict[str, dict[str, int]]

    @classmethod
    def read(cls, file: Path = LIST) -> "Words":
        """Read the list from its file."""
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        return cls(content["instead"], content.get("allowed", {}))


@dataclass(frozen=True, slots=True)
class Found:
    """A word of the list in a file; the folder is the one right below the root."""

    folder: str
    word: str
    file: Path
    line: int
    text: str


def find_words(root: Path, words: Words) -> Iterator[Found]:
    """Yield every word of the list below a folder."""
    patterns = {word: re.compile(rf"\b(?:{word})\b", re.IGNORECASE) for word in words.instead}
    for file in sorted(_files(root)):
        folder = file.relative_to(root).parts[0]
        for line, text in _texts(file):
            prose = SKIPPED.sub(" ", text)
            for word, pattern in patterns.items():
                for match in pattern.finditer(prose):
                    yield Found(folder, word, file, line + prose.count("\n", 0, match.start()), match[0])


def _files(root: Path) -> Iterator[Path]:
    for entry in root.iterdir():
        if entry.is_dir() and not entry.name.startswith("."):
            yield from (file for file in entry.rglob("*") if file.suffix in SUFFIXES)
        elif entry.suffix in SUFFIXES or entry.name == "Makefile":
            yield entry


def _texts(file: Path) -> Iterator[tuple[int, str]]:
    """Yield what a person reads in a file, each text with its first line."""
    content = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        with file.open("rb") as source:
            tokens = list(tokenize.tokenize(source.readline))
        yield from ((token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT)
        for node in ast.walk(ast.parse(content)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
                yield node.lineno, node.value
        return
    code = file.name == "Makefile"
    for number, line in enumerate(content.splitlines(), start=1):
        if file.suffix == ".md" and line.lstrip().startswith("```"):
            code = not code
        yield number, line.partition("#")[2] if code else line


def main(arguments: Sequence[str], root: Path = ROOT, file: Path = LIST) -> int:
    """Print the words of which a folder has too many, and return 1 if there are any; `--lower` writes today's numbers."""
    words = Words.read(file)
    found = list(find_words(root, words))
    counts = Counter((each.folder, each.word) for each in found)
    if "--lower" in arguments:
        head, _, _ = file.read_text(encoding="utf-8").partition(GENERATED)
        file.write_text(head + GENERATED + "".join(_tables(counts)), encoding="utf-8")
        return 0
    too_many = {
        key: count for key, count in counts.items() if count > words.allowed.get(key[0], {}).get(key[1], 0)
    }
    for (folder, word), count in sorted(too_many.items()):
        allowed = words.allowed.get(folder, {}).get(word, 0)
        here = [each for each in found if (each.folder, each.word) == (folder, word)]
        here.sort(key=lambda each: each.file.stat().st_mtime, reverse=True)
        print(f"{folder}: {count} times '{word}', at most {allowed}. Write instead: {words.instead[word]}")
        for each in here[:SHOWN]:
            print(f"    {each.file.relative_to(root)}:{each.line}: {each.text}")
    if too_many:
        print("Files that changed last come first. The words and numbers are in tools/plain_english.toml.")
    return 1 if too_many else 0


def _tables(counts: Counter[tuple[str, str]]) -> Iterator[str]:
    for folder in sorted({folder for folder, _ in counts}):
        yield f"\n[allowed.'{folder}']\n"
        yield from (f"'{word}' = {count}\n" for (of, word), count in sorted(counts.items()) if of == folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
