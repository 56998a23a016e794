"""The page: what an owner reads, and what nobody can write into it."""

import base64
import hashlib
import html
import html.parser
import re
import time

import markupsafe
import msgspec
import pytest

from assess.reports import every_problem, quiet, report
from assess.test_catalogue import JARGON
from bollard.assess.model import Report, State, Target, grade
from bollard.assess.report import markdown, owner, page, terminal, words


class Elements(html.parser.HTMLParser):
    """Collects the tags and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def elements(text: str) -> Elements:
    parser = Elements()
    parser.feed(text)
    return parser


def test_hostile_text_adds_no_element_to_the_page() -> None:
    found = elements(page.render(report()))
    assert not {"script", "img", "a", "link", "iframe", "form"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on") or name in ("src", "href")]
    assert "&lt;script&gt;" in page.render(report())


def test_templates_in_hostile_text_are_not_evaluated() -> None:
    assert "{{7*7}}" in page.render(report())


def test_the_page_loads_nothing_and_says_so() -> None:
    text = page.render(report())
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text
    assert "url(" not in text
    assert "@import" not in text


def test_the_policy_of_the_page_allows_its_own_style() -> None:
    text = page.render(quiet())
    style = re.search("<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"sha256-{digest}" in text.replace("&#43;", "+")


def owners_part(text: str) -> str:
    """The page up to what is for professionals."""
    return text.partition('<section class="professional">')[0]


@pytest.mark.parametrize("made", [report(), every_problem()], ids=["scan", "everything"])
def test_an_owner_reads_each_remedy_once_with_all_that_it_ends(made: Report) -> None:
    tasks = words.tasks(made)
    assert len({task.remedy for task in tasks}) == len(tasks)
    assert sum(len(task.problems) for task in tasks) == len(words.problems(made))
    ranks = [task.severity.rank for task in tasks]
    assert ranks == sorted(ranks, reverse=True)
    read = owners_part(page.render(made))
    for task in tasks:
        assert read.count(str(markupsafe.escape(task.remedy))) == 1
        for problem in task.problems:
            assert read.count(str(markupsafe.escape(problem.definition.owner_text))) == 1


def test_what_an_owner_reads_has_no_word_of_the_field_that_is_not_explained() -> None:
    made = every_problem()
    read = owners_part(page.render(made))
    for target in made.targets:
        assert target.name.removeprefix("mqtts://") in read
    assert "tell the server from an impostor" in read
    explained = re.search("<dl>.*?</dl>", read, re.DOTALL)
    assert explained is not None
    assert all(f"<dt>{word}</dt>" in explained[0] for word in owner.GLOSSARY)
    plain = html.unescape(
        re.sub(
            r'<span class="mono">.*?</span>|<[^>]+>|[A-Z]{3}-[0-9]{2}', " ", read.replace(explained[0], "")
        )
    )
    # Once where it is explained, once for the professional who gets the message.
    assert JARGON.findall(plain.partition("How safe")[2]) == ["MQTT", "MQTT"]


def test_a_report_of_an_older_version_is_read_in_the_words_that_it_has() -> None:
    made = report()
    older = {id: msgspec.structs.replace(each, owner_remedy="") for id, each in made.checks.items()}
    tasks = words.tasks(msgspec.structs.replace(made, checks=older))
    assert {task.remedy for task in tasks} <= {each.remedy for each in made.checks.values()}


def test_two_ways_in_at_one_address_are_one_to_an_owner() -> None:
    targets = tuple(Target(name=f"{scheme}://b:1883", kind="broker") for scheme in ("mqtt", "ws"))
    assert [(name, more) for _, name, more in owner.subjects(report(targets=targets))] == [
        ("b", ", entrance 1883")
    ]


def test_several_entrances_of_one_computer_are_told_together() -> None:
    targets = tuple(Target(name=f"mqtt://b:{port}", kind="broker") for port in (1883, 8883))
    assert [more for _, _, more in owner.subjects(report(targets=targets))] == [", entrances 1883, 8883"]


@pytest.mark.parametrize(
    ("name", "address", "said"),
    [
        ("mqtt://127.0.0.1:1883", "", ", entrance 1883 (the computer that made this check)"),
        ("mqtt://[::1]:1883", "", ", entrance 1883 (the computer that made this check)"),
        ("mqtt://b:1883", "192.168.1.2", ", entrance 1883 (an address inside a home or firm)"),
        ("mqtt://b", "8.8.8.8", " (an address on the Internet)"),
        ("mqtt://b:x", "", ""),
        ("::1", "", " (the computer that made this check)"),
    ],
)
def test_an_owner_reads_in_words_where_the_server_is(name: str, address: str, said: str) -> None:
    target = Target(name=name, kind="broker", address=address)
    assert [more for _, _, more in owner.subjects(report(targets=(target,)))] == [said]


def test_a_server_is_not_called_unreachable_because_nobody_looked() -> None:
    assert owner.reach(quiet()) == "Whether the server can be reached from the Internet was not checked."
    assert owner.reach(every_problem()) == ""
    assert owner.reach(report(targets=())) == ""
    public = Target(name="mqtt://b:1883", kind="broker", address="8.8.8.8")
    assert owner.reach(report(targets=(public,), results=())) == ""


def test_the_owner_reads_once_what_the_grade_stands_on() -> None:
    assert (
        owner.counts(quiet()) == "3 checks: 2 found no weakness, "
        "1 left out (they mean nothing here, or could not be made from here)."
    )
    assert owner.counts(report(results=(), grade=grade(()))) == ""
    assert page.render(quiet()).count(owner.counts(quiet())) == 1


def test_what_is_not_there_is_named_if_it_is_little() -> None:
    texts = {check: each.owner_text for check, each in quiet().checks.items()}
    assert owner.absent(quiet()) == [texts["SCN-04"], texts["SCN-05"]]
    assert html.escape(texts["SCN-05"], quote=False) in page.render(quiet())
    many = tuple(msgspec.structs.replace(each, state=State.PASS) for each in report().results)
    assert owner.absent(report(results=many)) == []


def test_what_is_wrong_at_one_entrance_is_not_called_absent_because_of_another() -> None:
    here = quiet().results
    there = tuple(msgspec.structs.replace(each, state=State.FAIL, target="other") for each in here[:1])
    assert owner.absent(msgspec.structs.replace(quiet(), results=(*here, *there))) == [
        quiet().checks["SCN-05"].owner_text
    ]


def test_a_word_is_explained_only_where_it_is_used() -> None:
    assert set(owner.glossary(quiet(), [])) == {"message server", "address", "entrance", "stranger"}
    assert set(owner.glossary(every_problem(), words.tasks(every_problem()))) == set(owner.GLOSSARY)


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        ("2026-11-03T08:01:00Z", "3 November 2026, 09:01 CET"),
        ("2026-07-31T22:01:00Z", "1 August 2026, 00:01 CEST"),
        ("yesterday", "yesterday"),
        ("\x1b", "\\x1b"),
    ],
)
def test_an_owner_reads_the_time_of_the_place_as_people_write_it(
    monkeypatch: pytest.MonkeyPatch, moment: str, said: str
) -> None:
    with monkeypatch.context() as here:
        here.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        assert words.day(moment) == said
    time.tzset()


def test_a_zone_without_a_name_is_told_by_its_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as here:
        here.setenv("TZ", "<-03>3")
        time.tzset()
        assert words.day("2026-11-03T08:01:00Z") == "3 November 2026, 05:01 UTC-03"
    time.tzset()


def test_order_and_urgency_are_one_statement() -> None:
    tasks = words.tasks(every_problem())
    said = [owner.when(number, task) for number, task in enumerate(tasks, 1)]
    assert said[:2] == ["1. Do this first: today", "2. Today"]
    assert [each.partition(" ")[2].lower() for each in said[1:]] == [task.urgency for task in tasks[1:]]


def test_who_can_fix_it_is_said_once_for_each_of_them() -> None:
    same = report(results=tuple(each for each in report().results if each.check in ("SCN-04", "SCN-14")))
    for made in (same, every_problem()):
        read = owners_part(page.render(made))
        helpers = owner.helpers(words.tasks(made))
        assert read.count("Who can fix it") == 1
        assert all(read.count(f": {who}</li>") + read.count(f"</b> {who}. You") == 1 for who, _ in helpers)
        numbers = [int(number) for _, each in helpers for number in each.split(", ")]
        assert sorted(numbers) == list(range(1, len(words.tasks(made)) + 1))
    assert len(owner.helpers(words.tasks(same))) == 1


@pytest.mark.parametrize(
    ("kind", "letter", "said"),
    [
        ("scan", "F", "cut off from guests' Wi-Fi"),
        ("sniff", "D", "cut off from guests' Wi-Fi"),
        ("trap", "F", "take it off the network"),
        ("scan", "C", ""),
        ("doctor", "F", ""),
    ],
)
def test_what_to_do_until_help_comes_is_said_where_it_cannot_wait(kind: str, letter: str, said: str) -> None:
    made = report(kind=kind, grade=msgspec.structs.replace(report().grade, letter=letter))
    assert said in owner.bridge(made)
    assert bool(said) == bool(owner.bridge(made))


def test_the_message_names_what_comes_first_and_nothing_that_others_wrote() -> None:
    tasks = words.tasks(report())
    told = " ".join(owner.message(report(), tasks))
    assert told.count("grade F") == 1
    assert all(each.ids in told for each in tasks if each.urgency == "today")
    assert not any(each.ids in told for each in tasks if each.urgency != "today")
    assert "script" not in told
    assert "look again with the commands that stand there" not in told  # no command can hold such a name


def test_the_message_says_how_to_look_again() -> None:
    made = report(kind="doctor")
    told = " ".join(owner.message(made, words.tasks(made)))
    assert "look again with bollard doctor" in told
    assert "call me" not in told
    results = tuple(msgspec.structs.replace(each, target="mqtts://b:8883") for each in report().results)
    plain = report(results=results)
    assert "look again with the commands that stand there" in " ".join(
        owner.message(plain, words.tasks(plain))
    )


def test_the_page_begins_with_what_an_owner_needs() -> None:
    text = page.render(report())
    read = owners_part(text)
    assert "Do this first" in read
    assert "Who can fix it" in read
    assert "CWE" not in read
    assert "A stranger can send commands to your devices, if they take commands this way." in read


def test_a_quiet_page_says_that_there_is_nothing_to_do() -> None:
    assert "Nothing to do now" in page.render(quiet())


def test_a_page_about_nothing_does_not_sound_like_good_news() -> None:
    empty = report(results=(), targets=(), checks={}, notes=(), grade=grade(()))
    assert "Nothing to do now" not in page.render(empty)
    assert "No open problem" not in terminal.render(empty) + markdown.render(empty)


def test_what_to_write_stands_line_by_line() -> None:
    made = report()
    written = msgspec.structs.replace(
        made.results[0], state=State.FAIL, evidence={"write": ["first #", "<second>"]}
    )
    told = msgspec.structs.replace(made, results=(written,))
    assert "<div>first #</div><div>&lt;second&gt;</div>" in page.render(told)
    assert "  - write:\n    - first \\#\n    - &lt;second&gt;\n" in markdown.render(told)
