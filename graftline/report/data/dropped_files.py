"""Dropped files by reason, as the data page lists them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from graftline.data.dataset import Dropped

_MAX_REASONS = 12
_MAX_FILES = 50  # of all reasons together
_VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|\d[\d,.]*")


@dataclass(frozen=True)
class DropReason:
    """A reason for which files were dropped."""

    text: str
    count: int
    files: list[Dropped]
    """Some of the files."""


def group_by_reason(dropped: Sequence[Dropped]) -> list[DropReason]:
    """Groups dropped files by reason, most frequent first, ignoring numbers and names in the reasons."""
    groups: dict[str, list[Dropped]] = {}
    for file in dropped:
        groups.setdefault(_VARYING.sub("0", _head(file.why)), []).append(file)
    order = sorted(groups.values(), key=lambda group: -len(group))
    rest = [file for group in order[_MAX_REASONS:] for file in group]
    per_reason = max(1, _MAX_FILES // max(1, min(len(order), _MAX_REASONS + 1)))
    reasons = [
        DropReason(_common_text([_head(file.why) for file in group]), len(group), group[:per_reason])
        for group in order[:_MAX_REASONS]
    ]
    return [*reasons, DropReason("other reasons", len(rest), rest[:per_reason])] if rest else reasons


def _head(why: str) -> str:
    return why.split(":")[0].strip()


def _common_text(heads: Sequence[str]) -> str:
    """Returns a text for all reasons, with an ellipsis where numbers and names differ."""
    columns = iter([set(column) for column in zip(*map(_VARYING.findall, heads), strict=True)])
    return _VARYING.sub(lambda match: match[0] if len(next(columns)) == 1 else "\N{HORIZONTAL ELLIPSIS}", heads[0])
