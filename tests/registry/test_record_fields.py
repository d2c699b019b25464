import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from registry.fields import REFUSED_CATEGORIES, Line, PaperId, Printed, Title, Url

LINE, TITLE = TypeAdapter(Line), TypeAdapter(Title)
URL, PRINTED, ID = TypeAdapter(Url), TypeAdapter(Printed), TypeAdapter(PaperId)


@given(st.text(min_size=1, max_size=20))
@settings(deadline=None)
def test_a_line_that_holds_is_printable_and_normal(text: str) -> None:
    try:
        LINE.validate_python(text)
    except ValidationError:
        return
    assert not {unicodedata.category(character) for character in text} & REFUSED_CATEGORIES
    assert text == unicodedata.normalize("NFC", text).strip()


@pytest.mark.parametrize("text", ["Größe ≤ 5 µm, 3 × 4", "日本語", "a < b and c > d", "<0.5MB"])
def test_plain_titles_hold(text: str) -> None:
    assert TITLE.validate_python(text) == text


@pytest.mark.parametrize("text", ["a <b", "x </y", "<!-- x", "[a](b)", "{{x}}", "{% x %}", "ab\n"])
def test_markup_in_titles_does_not(text: str) -> None:
    with pytest.raises(ValidationError):
        TITLE.validate_python(text)


@pytest.mark.parametrize("url", ["https://arxiv.org/abs/1510.00149", "http://a:80/b?c=d&e=%20#f"])
def test_web_addresses_hold(url: str) -> None:
    assert URL.validate_python(url) == url


@pytest.mark.parametrize(
    "url",
    ["javascript:x", "HTTPS//a", "https://", "https://u@a", "https://a b", "https://a/\u00e9",
     "https://[::1", "mailto:a@b", "https://a/'", "https://a\\b", "", "https://a:x/"],
)  # fmt: skip
def test_other_addresses_do_not(url: str) -> None:
    with pytest.raises(ValidationError):
        URL.validate_python(url)


@pytest.mark.parametrize("text", ["1", "-0.02", "+3", "2.49", ".5", "1e-4", "0.1E+2", "5."])
def test_printed_numbers_hold(text: str) -> None:
    assert PRINTED.validate_python(text) == text


@pytest.mark.parametrize(
    "text", ["", "nan", "inf", "1_0", "1e999", "1,000", " 1", "0x1", "٣", "1/2", "1" * 41, "-", "."]
)
def test_other_numbers_do_not(text: str) -> None:
    with pytest.raises(ValidationError):
        PRINTED.validate_python(text)


@pytest.mark.parametrize("text", ["2016-eie", "2016-a", "1998-x-2-y"])
def test_ids_hold(text: str) -> None:
    assert ID.validate_python(text) == text


@pytest.mark.parametrize(
    "text", ["2016", "2016-", "2016-a-", "2016-A", "../2016-a", "16-a", "2016-a/b", "2016-a\n"]
)
def test_other_ids_do_not(text: str) -> None:
    with pytest.raises(ValidationError):
        ID.validate_python(text)
