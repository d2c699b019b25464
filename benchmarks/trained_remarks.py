"""How a result says which layers a method left dense: one remark a weight, written and read."""

from collections.abc import Iterable, Mapping

_BEGINNING = "left dense: "


def dense_remarks(reasons: Mapping[str, str]) -> list[str]:
    """A remark for each weight, from its name and why it stays dense."""
    return [f"{_BEGINNING}{name}: {why}" for name, why in reasons.items()]


def left_dense(remarks: Iterable[str]) -> dict[str, str]:
    """Name -> reason, of those among ``remarks`` that ``dense_remarks`` made."""
    found = {}
    for remark in remarks:
        if remark.startswith(_BEGINNING):
            name, _, why = remark.removeprefix(_BEGINNING).partition(": ")
            found[name] = why
    return found
