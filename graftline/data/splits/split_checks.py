"""Refusal of classes without a training or test image, with the reason."""

from collections import Counter
from collections.abc import Sequence

from graftline.data.dataset import SPLIT_NAMES, SplitName
from graftline.data.labels import LABEL_TYPES
from graftline.data.splits.assignment import SplitAssignment
from graftline.runtime.errors import RefusedError

_LISTED = 10  # label names in one message


def check_splits(assignment: SplitAssignment, location: str, task: str, *, needs_test: bool) -> None:
    """Refuses splits in which a class has no training or test image.

    For numeric labels, only the data as a whole need such images; for multilabel data, each label needs a training
    image.

    Args:
        assignment: The splits.
        location: Location of the data, for messages.
        task: Task of the labels.
        needs_test: Whether test images are required.

    Raises:
        RefusedError: A required image is missing.
    """
    required: tuple[SplitName, ...] = ("train", "test") if needs_test else ("train",)
    if LABEL_TYPES[task].is_class:
        _check_classes(assignment, location, required)
    else:
        _check_total(assignment, location, required)
        _check_labels(assignment, location, task)


def _check_classes(assignment: SplitAssignment, location: str, required: Sequence[SplitName]) -> None:
    counts = Counter((sample.label, split) for sample, split in zip(assignment.samples, assignment.splits, strict=True))
    for label in sorted({sample.label for sample in assignment.samples}):
        sizes = {name: counts[label, name] for name in SPLIT_NAMES}
        for name in required:
            if not sizes[name]:
                subject = f"class {label!r} has" if label else "the data have"
                raise RefusedError(f"{location}: {subject} no {name} image ({sizes}); {_reason(assignment, label)}")


def _check_total(assignment: SplitAssignment, location: str, required: Sequence[SplitName]) -> None:
    counts = Counter(assignment.splits)
    for name in required:
        if not counts[name]:
            raise RefusedError(
                f"{location}: no {name} image is left; provide at least two distinct images that no group links, and "
                "at least one in each predefined split"
            )


def _check_labels(assignment: SplitAssignment, location: str, task: str) -> None:
    names_in = LABEL_TYPES[task].names_in
    names = {name for sample in assignment.samples for name in names_in(sample.label)}
    trained = {
        name
        for sample, split in zip(assignment.samples, assignment.splits, strict=True)
        if split == "train"
        for name in names_in(sample.label)
    }
    if missing := sorted(names - trained):
        raise RefusedError(
            f"{location}: no training image has the label {', '.join(map(repr, missing[:_LISTED]))}"
            f"{', ...' if len(missing) > _LISTED else ''}; add some, or list the other labels under `classes:`"
        )


def _reason(assignment: SplitAssignment, label: str) -> str:
    """Explains why a class has no image in some split, and what to do."""
    samples, group_of = assignment.samples, assignment.groups.by_digest
    indices = sorted((i for i, sample in enumerate(samples) if sample.label == label), key=lambda i: samples[i].key)
    digests = {samples[i].digest for i in indices}
    groups = {group_of[digest] for digest in digests}
    requirement = "it needs at least two distinct images, and at least one in each predefined split"
    if len(digests) > 1 and len(groups) == 1:
        return (
            f"all of its {len(indices):,} images {_link(assignment, indices)} and must stay in one split; add images "
            "that are not, or, if these may be split, remove the groups or set near_duplicates: false"
        )
    if excluded := [i for i in indices if assignment.splits[i] is None]:
        return (
            f"{len(excluded):,} of its {len(indices):,} images were excluded because a stricter split has the same "
            f"image, a near duplicate, or an image of the same group, such as {samples[excluded[0]].key!r}; "
            f"{requirement}"
        )
    if len(groups) < len(digests):
        return (
            f"its {len(digests):,} distinct images form {len(groups):,} sets that must stay in one split (groups, near "
            "duplicates), some of them linked to other classes or to an earlier run; add images that are not"
        )
    return requirement


def _link(assignment: SplitAssignment, indices: Sequence[int]) -> str:
    """Describes what links the images of a split group."""
    groups = {assignment.samples[i].group for i in indices}
    clusters = {assignment.groups.clusters.get(assignment.samples[i].digest) for i in indices}
    if len(groups) == 1 and all(groups):
        return f"belong to one group ({groups.pop()!r})"
    if len(clusters) == 1 and None not in clusters:
        return "are near duplicates"
    return "are linked by groups and near duplicates"
