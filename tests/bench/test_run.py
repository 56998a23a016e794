"""bench/run.py: what it prints says what it is."""

import pytest
import run
from ways import Way, ways


def test_figures_have_a_heading_with_the_variant_and_the_unit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first: list[Way] = ways()[:1]
    monkeypatch.setattr(run, "ways", lambda: first)
    monkeypatch.setattr(run, "measure", lambda way, repetitions=1: 1234.0)
    run.report("uncompiled")
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split(maxsplit=1) == ["uncompiled", "messages for each second of processor time"]
    assert [row.rsplit(maxsplit=1)[1] for row in rows] == ["1,234"] * (1 + len(run.SUBSCRIPTIONS))


def test_an_option_that_there_is_not_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["run.py", "--nosuch"])
    with pytest.raises(SystemExit) as ended:
        run.main()
    assert ended.value.code == 2
    assert "unrecognized arguments: --nosuch" in capsys.readouterr().err
