"""The linter of `make check` that refuses words a reader stumbles over."""

from pathlib import Path

import pytest

from plain_english import Words, find_words, main

LIST = r"""
[instead]
'told' = 'report'
'goes? on' = 'continue'
'gates?' = 'circuit breaker'
"""
CLEAN = {
    "page.md": "The state gets its result, see `gates.told` and [it](told.md).\n```console\n$ told go on\n```\n",
    "code/module.py": '"""Continue."""\n\ntold = {"told": "gates"}  # reported\n',
    "template.yaml": "Alarm:\n  AlarmDescription: No usable response.  # continue\n",
    "Makefile": "check:  ## Check everything\n\ttold goes on\n",
}
REFUSED = [
    ("page.md", "The state is told.\n", "page.md:1: told"),
    ("page.md", "```console\n$ run   # goes on\n```\n", "page.md:2: goes on"),
    ("code/module.py", "# the watcher goes on\n", "code/module.py:1: goes on"),
    ("code/module.py", '"""One.\n\nA gate is shut.\n"""\n', "code/module.py:3: gate"),
    ("code/module.py", 'error = f"the run {run} is told of"\n', "code/module.py:1: told"),
    ("template.yaml", "AlarmDescription: >-\n  A gate is shut.\n", "template.yaml:2: gate"),
    ("Makefile", "check:  ## It goes on\n", "Makefile:1: goes on"),
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project without any word of its list, which lies beside it."""
    (tmp_path / "list.toml").write_text(LIST)
    for name, text in CLEAN.items():
        file = tmp_path / "project" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def lint(project: Path, *arguments: str) -> int:
    return main(list(arguments), project / "project", project / "list.toml")


def test_names_and_code_may_use_any_word(project: Path) -> None:
    """Identifiers, single-word strings, `code`, targets of links, and commands."""
    assert 0 == lint(project)


@pytest.mark.parametrize(("file", "text", "shown"), REFUSED)
def test_a_word_of_the_list_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str], file: str, text: str, shown: str
) -> None:
    """In prose, comments, docstrings, messages and descriptions; with file, line, and what to write instead."""
    (project / "project" / file).write_text(text)
    assert 1 == lint(project)
    printed = capsys.readouterr().out
    assert f"    {shown}\n" in printed
    assert "Write instead: " in printed


def test_a_folder_may_have_fewer_words_and_never_more(project: Path) -> None:
    """`--lower` writes what is there; one more is refused, one less is not."""
    module = project / "project" / "code" / "module.py"
    module.write_text("# told\n# told\n")
    assert (1, 0, 0) == (lint(project), lint(project, "--lower"), lint(project))
    module.write_text("# told\n# told\n# told\n")
    assert 1 == lint(project)
    module.write_text("# told\n")
    assert (0, 0) == (lint(project), lint(project, "--lower"))
    module.write_text("# told\n# told\n")
    assert 1 == lint(project)


def test_every_word_of_the_projects_list_is_found(tmp_path: Path) -> None:
    """A regular expression that matches nothing refuses nothing."""
    samples = tmp_path / "samples.md"
    words = Words.read()
    samples.write_text(
        "told whoever mended brake bell\nthe alarm rings\nletters bury gate believed lets go of goes on\n"
        "is to be, to be had, such a one, nobody is of use as ever, anew, puts away, worked off, look-up, in vain\n"
        "is asked, takes the place of, hence, comes to one\n"
    )
    assert words.instead.keys() == {found.word for found in find_words(tmp_path, words)}
