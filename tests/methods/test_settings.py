"""Settings of a method as a user writes them: unknown ones and those out of range are told."""

import pytest

from methods.compress import checked_config, parse_settings
from methods.discovery import load_method
from registry.errors import UserError


def test_settings_that_are_not_known_or_out_of_range():
    method = load_method("deep-compression")
    assert checked_config(method, {"rounds": 3}).rounds == 3
    with pytest.raises(UserError, match=r"unknown setting 'round' \(did you mean 'rounds'\?\)"):
        checked_config(method, {"round": 3})
    with pytest.raises(UserError) as caught:
        checked_config(method, {"rounds": 0, "index_bits": "many", "weight_bits": {"ip1": 99}})
    for key in ("rounds", "index_bits", "weight_bits"):
        assert key in str(caught.value)


def test_settings_are_json_or_text():
    assert parse_settings(["a=1", "b=[1, 2]", "c=text", "d=", "e==", 'f={"x": null}']) == {
        "a": 1, "b": [1, 2], "c": "text", "d": "", "e": "=", "f": {"x": None},
    }  # fmt: skip
    for bad in (["a"], ["=1"], ["a=1", "a=2"]):
        with pytest.raises(UserError):
            parse_settings(bad)
