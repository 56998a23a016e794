"""Reading TOML: every mistake is told with its file, its line and a remedy."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bollard.base.errors import ConfigError
from bollard.base.toml import MAX_FILE_BYTES, Document, dotted, kind, load_toml, suggest

FILE = Path("x.toml")

EXAMPLE = """\
a.b = 1   # [not a table]
list = [ "one",   # no ] here
   'two]', \"\"\"
three]"\"\"\" ,
  {y=1, z = [1,
  2]}, ]
"quo\\"t.e" = 'e'
[t . "s p"]
k = 1979-05-27T07:32:00Z

[[item]]
n = 1
[[item]]
n = 2
[item.sub]
q = '''
x = 1'''
[[item.deep]]
i = 1
[t]
late = true
"""


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("a",), 1),
        (("a", "b"), 1),
        (("list",), 2),
        (("list", 0), 2),
        (("list", 1), 3),
        (("list", 2), 3),
        (("list", 3), 5),
        (("list", 3, "z"), 5),
        (("list", 3, "z", 1), 6),
        (('quo"t.e',), 7),
        (("t",), 20),
        (("t", "late"), 21),
        (("t", "s p"), 8),
        (("t", "s p", "k"), 9),
        (("item",), 11),
        (("item", 0), 11),
        (("item", 0, "n"), 12),
        (("item", 1), 13),
        (("item", 1, "n"), 14),
        (("item", 1, "sub", "q"), 16),
        (("item", 1, "deep", 0, "i"), 19),
    ],
    ids=lambda value: dotted(*value) if isinstance(value, tuple) else None,
)
def test_each_value_has_its_line(keys: tuple[str | int, ...], line: int) -> None:
    assert Document(FILE, EXAMPLE).line(*keys) == line


def test_a_value_that_is_not_there_has_the_line_of_the_nearest_parent() -> None:
    document = Document(FILE, EXAMPLE)
    assert document.line("t", "s p", "missing", 3) == 8
    assert document.line("nothing") == 1
    assert document.line() == 1


def test_windows_line_ends_count_as_one_line() -> None:
    assert Document(FILE, "a = 1\r\n\r\nb = 2\r\n").line("b") == 3


FILLERS = [
    "",
    "# [a]\n",
    's = """\n]\n"""\n',
    "l = [\n 1, # ]\n]\n",
    "d = {x = '}'}\n",
    "m.n = '''\n[z]\n'''\n",
]


@given(st.lists(st.tuples(st.sampled_from(FILLERS), st.booleans()), min_size=1, max_size=12))
def test_a_key_has_the_line_it_was_written_on(blocks: list[tuple[str, bool]]) -> None:
    text = ""
    lines = []
    for index, (filler, array) in enumerate(blocks):
        table = "[[many]]" if array else f"[t{index}]"
        text += f"{table}\n{filler}key{index} = 1\n"
        place = ("many", sum(a for _, a in blocks[:index])) if array else (f"t{index}",)
        lines.append(((*place, f"key{index}"), text.count("\n")))
    document = Document(FILE, text)
    for keys, line in lines:
        assert document.line(*keys) == line


@given(st.text(alphabet="ab.=[]{}\"'\\\n\r#, 01-:TZ\x00é", max_size=60))
def test_any_text_is_a_document_or_an_error_with_a_line_of_the_file(text: str) -> None:
    lines = text.replace("\r\n", "\n").split("\n")
    document = error = None
    try:
        document = Document(FILE, text)
    except ConfigError as caught:
        error = caught
    if document is None:
        assert error is not None
        assert 1 <= error.line <= len(lines)
        assert error.remedy
    else:
        keys = [key for key in document.data if key.isalnum()]
        assert all(key in lines[document.line(key) - 1] for key in keys)


QUOTES = "Text goes in straight quotes"
ONCE = "Keep one of the two"


@pytest.mark.parametrize(
    ("text", "line", "remedy"),
    [
        ("publish = [devices/x]", 1, QUOTES),
        ("a = 1\nunless = yes", 2, QUOTES),
        ("a = “x”", 1, QUOTES),
        ("bind = 0.0.0.0:8883", 1, "Text goes in quotes"),
        ("until = 4h", 1, "Text goes in quotes"),
        ('who = "a", "b"', 1, 'a list in brackets: ["a", "b"]'),
        ('a = ["x" "y"]', 1, "commas between items"),
        ("a = [1x]", 1, "quotes around text"),
        ('a = 1\nb = "x\nc = 2', 2, "Close the quotes on the line"),
        ("a = 'x", 1, "Close the quotes on the line"),
        ("a: 1", 1, "Write NAME = VALUE"),
        ("[grant anna]\na = 1", 1, "Close the brackets"),
        ('a = "C:\\dir"', 1, "each backslash twice"),
        ("a = 1\na = 2", 2, ONCE),
        ("[a.b]\n[a.b]", 2, ONCE),
    ],
)
def test_what_is_no_toml_is_told_with_what_to_write(text: str, line: int, remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Document(FILE, text + "\n")
    assert caught.value.line == line
    assert remedy in caught.value.remedy


def test_a_table_that_is_there_twice_is_named_as_it_is_written() -> None:
    with pytest.raises(ConfigError, match=r"\[grant\.anna\] is here twice"):
        Document(FILE, "[grant.anna]\n[grant.anna]\n")


def test_the_remedy_does_not_repeat_what_may_be_a_secret() -> None:
    with pytest.raises(ConfigError) as caught:
        Document(FILE, "passphrase = hunter2\n")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        pytest.param("a = 1\nb = \n", 2, "column 5: invalid value", id="no value"),
        pytest.param("a = 1\na = 2\n", 2, "cannot overwrite a value", id="twice the same key"),
        pytest.param("a = 1\nb = 'x", 2, "expected", id="string without an end"),
        pytest.param("a = 1\n\nb = [1,\n\n", 3, "invalid value", id="array without an end"),
        pytest.param("a = " + "[" * 100_000, 1, "nested too deeply", id="deeply nested"),
        pytest.param("a = " + "9" * 5000, 1, "not valid TOML", id="number of 5,000 digits"),
    ],
)
def test_text_that_is_not_toml_is_told_with_its_line(text: str, line: int, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Document(FILE, text)
    assert caught.value.line == line
    assert words in caught.value.message
    assert str(caught.value).startswith(f"x.toml:{line}: ")


def test_a_file_is_read_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "good.toml"
    path.write_bytes(b"\xef\xbb\xbfname = 'caf\xc3\xa9'\n")
    document = load_toml(path)
    assert document.data == {"name": "café"}
    assert document.path == path


def test_a_missing_file_is_told() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: there is no such file"):
        load_toml(Path("nowhere.toml"))


def test_a_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="this is a directory"):
        load_toml(tmp_path)


def test_a_file_that_may_not_be_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ConfigError, match=r"secret\.toml: no permission to read"):
        load_toml(Path("secret.toml"))


def test_a_path_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    path = tmp_path / "loop.toml"
    path.symlink_to(path)
    with pytest.raises(ConfigError, match="cannot be read: "):
        load_toml(path)


def test_text_that_is_not_utf8_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes(b"a = 1\nb = 'caf\xe9'\n")
    with pytest.raises(ConfigError, match=r":2: this is not UTF-8 text") as caught:
        load_toml(path)
    assert caught.value.remedy == "Save the file as UTF-8."


def test_a_file_of_the_greatest_size_is_read_and_a_longer_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "long.toml"
    path.write_bytes(b"#" * MAX_FILE_BYTES)
    assert load_toml(path).data == {}
    path.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(ConfigError, match="longer than 1,048,576 bytes"):
        load_toml(path)


def test_the_first_unknown_key_is_told_with_the_nearest_name() -> None:
    document = Document(FILE, "good = 1\n[limits]\ngood = 1\npubslih = 2\nother = 3\n")
    with pytest.raises(ConfigError) as caught:
        document.check_keys(("limits",), ("good", "publish"))
    assert str(caught.value) == 'x.toml:4: unknown key "pubslih" in [limits]\n  Did you mean "publish"?'


def test_known_keys_are_accepted() -> None:
    document = Document(FILE, "a = 1\n[[b]]\nc = 1\n")
    document.check_keys((), ("a", "b"))
    document.check_keys(("b", 0), ("c",))


def test_an_unknown_key_of_an_array_item_is_told_with_its_place() -> None:
    document = Document(FILE, "[[b]]\nc = 1\n[[b]]\nd = 1\n")
    with pytest.raises(ConfigError, match=r'x\.toml:4: unknown key "d" in \[b\[1\]\]'):
        document.check_keys(("b", 1), ("c",))


def test_names_that_are_not_near_are_listed() -> None:
    assert suggest("zzz", ("beta", "alpha")) == "Expected one of: alpha, beta."
    assert suggest("zzz", ()) == "Nothing may stand here."
    assert suggest("PUBLISH", ("publish",)) == 'Did you mean "publish"?'


def test_paths_are_written_as_in_the_file() -> None:
    assert dotted("a", 0, "b c", "d-1") == 'a[0]."b c".d-1'


def test_kinds_have_the_words_of_toml() -> None:
    data = Document(FILE, "a=''\nb=true\nc=1\nd=1.0\ne=[]\nf={}\ng=2030-01-01\n").data
    assert [kind(value) for value in data.values()] == [
        "a string",
        "a boolean",
        "an integer",
        "a float",
        "an array",
        "a table",
        "a date or time",
    ]
