import pytest

from bollard.base.errors import LocalError
from bollard.identity.names import check_identity, is_identity


@pytest.mark.parametrize("name", ["a", "kitchen-plug", "esp_32.v2", "0042", "_x", "A" * 64])
def test_letters_digits_and_three_marks_make_an_identity(name: str) -> None:
    assert check_identity(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "a" * 65, "a/b", "a+b", "#", "$SYS", "a b", "é", "a\n", "a\0", ".hidden", "..", "-rf", "٣", "a:b"],
)
def test_what_could_widen_a_topic_or_leave_a_directory_is_no_identity(name: str) -> None:
    assert not is_identity(name)
    with pytest.raises(LocalError, match="cannot be an identity"):
        check_identity(name)


@pytest.mark.parametrize("name", ["anonymous", "Anonymous"])
def test_the_anonymous_principal_cannot_be_enrolled(name: str) -> None:
    assert not is_identity(name)
    with pytest.raises(LocalError, match="reserved"):
        check_identity(name)


def test_an_endless_name_is_cut_in_the_message() -> None:
    with pytest.raises(LocalError) as caught:
        check_identity("x" * 100_000)
    assert len(str(caught.value)) < 300
