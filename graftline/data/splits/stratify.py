"""The draw where an image has no one class: numbers by bins of equal numbers of images, several labels by iteration."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from graftline.data.dataset import SplitName
from graftline.data.labels import LABEL_TYPES
from graftline.data.splits.draw import draw, share
from graftline.data.splits.ledger import rank
from graftline.data.stratification import ANY, iterative


def draw_task(
    task: str,
    label_of: Mapping[str, str],
    unit_of: Mapping[str, int],
    known: Mapping[str, SplitName],
    *,
    seed: int,
    val_fraction: float,
    test_fraction: float,
) -> dict[str, SplitName]:
    """Assigns units of samples to splits so that each split's labels are spread as those of all; see `draw`.

    Args:
        task: Decides what a sample is stratified by: its class, its value's quantile bin, or all its labels.
        label_of: Digest to label.
        unit_of: Digest to unit; all of a unit are known, or none.
        known: Digests that have their split already.
        seed: Decides the order together with the digests.
        val_fraction: Share that becomes validation; 0 draws none.
        test_fraction: Likewise for test.
    """
    label_type = LABEL_TYPES[task]
    if label_type.is_multi_hot:
        return draw_labels(
            {digest: label_type.names_in(text) for digest, text in label_of.items()},
            unit_of,
            known,
            seed=seed,
            val_fraction=val_fraction,
            test_fraction=test_fraction,
        )
    return draw(
        label_type.strata(label_of),
        unit_of,
        known,
        seed=seed,
        val_fraction=val_fraction,
        test_fraction=test_fraction,
    )


def draw_labels(
    labels_of: Mapping[str, Sequence[str]],
    unit_of: Mapping[str, int],
    known: Mapping[str, SplitName],
    *,
    seed: int,
    val_fraction: float,
    test_fraction: float,
) -> dict[str, SplitName]:
    """Assigns units of samples with any number of labels to splits, by iterative stratification.

    Args:
        labels_of: Digest to labels, of all distinct samples that may be drawn from, the known ones too.
        unit_of: Digest to unit; all of a unit are known, or none.
        known: Digests that have their split already; they count towards the shares and do not move.
        seed: Decides the order of units together with the digests.
        val_fraction: Share of a label's samples that becomes validation; 0 draws none.
        test_fraction: Likewise for test.

    Returns:
        A split for each digest. A label of two samples wants one for training and one for test, else validation.
    """
    members: dict[int, list[str]] = defaultdict(list)
    for digest in labels_of:
        if digest not in known:
            members[unit_of[digest]].append(digest)
    units = sorted(members.values(), key=lambda digests: rank(seed, min(digests)))
    sizes = [Counter(name for digest in unit for name in (ANY, *labels_of[digest])) for unit in units]
    parts = iterative(sizes, _wants(labels_of, {"test": test_fraction, "val": val_fraction}, known))
    splits = {digest: known[digest] for digest in labels_of if digest in known}
    splits.update((digest, part) for unit, part in zip(units, parts, strict=True) for digest in unit)
    return splits


def _wants(
    labels_of: Mapping[str, Sequence[str]], fractions: Mapping[SplitName, float], known: Mapping[str, SplitName]
) -> dict[SplitName, Counter[str]]:
    """Images of each label that each split is short of; train, which wins ties, first."""
    total = Counter(name for names in labels_of.values() for name in (ANY, *names))
    want: dict[SplitName, Counter[str]] = {"train": Counter(total)}
    for split, fraction in fractions.items():
        if fraction > 0:
            want[split] = Counter(
                {name: share(count, fraction, want["train"][name] - 1) for name, count in total.items()}
            )
            want["train"].subtract(want[split])
    for digest, names in labels_of.items():
        before = known.get(digest)
        if before is not None and before in want:
            want[before].subtract([ANY, *names])
    return want
