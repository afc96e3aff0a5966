"""Properties of splits for any combination of exact duplicates, near duplicates, and groups."""

import hashlib
import itertools
from collections import Counter
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from graftline.data.dataset import SplitName
from graftline.data.duplicates.clusters import default_max_distance
from graftline.data.splits.split_groups import SplitSample
from graftline.data.splits.split_samples import SplitResult
from tests.builders.split_samples import IMAGE_SIZE, make_sample, make_samples, phash_of, split, splits_by_key

MODES: dict[str, tuple[SplitName | None, ...]] = {
    "none": (None,),
    "two": ("train", "test"),
    "three": ("train", "val", "test"),
}


@st.composite
def linked_samples(draw: st.DrawFn) -> tuple[list[SplitSample], list[SplitSample]]:
    """Two lists of randomly duplicated and grouped samples, with enough unrelated ones for all splits."""
    split_names = MODES[draw(st.sampled_from(sorted(MODES)))]
    base = [
        make_sample(f"base{name}{label}{number}", label, name, phash=phash_of(f"base{name}{label}{number}"))
        for name in split_names
        for label in "ab"
        for number in range(12)
    ]

    def draw_sample(key: int) -> SplitSample:
        content = draw(st.integers(0, 15))
        phash = phash_of(f"shown{content % 6}" if content < 12 else f"shown{content}", content)
        return SplitSample(
            f"key{key:02}",
            draw(st.sampled_from("ab")),
            draw(st.sampled_from([*split_names, None])),
            hashlib.sha256(f"shown{content}".encode()).hexdigest(),
            draw(st.sampled_from([None, *"pqrs"])),
            phash,
        )

    samples = [draw_sample(key) for key in range(draw(st.integers(0, 16)))]
    cut = draw(st.integers(0, len(samples)))
    return base + samples[:cut], samples[cut:]


def must_share_split(sample: SplitSample, other: SplitSample) -> bool:
    distance = (int.from_bytes(sample.phash) ^ int.from_bytes(other.phash)).bit_count()
    return (
        sample.digest == other.digest
        or distance <= default_max_distance(*IMAGE_SIZE)
        or (sample.group is not None and sample.group == other.group)
    )


def n_reported(result: SplitResult) -> int:
    """Returns the number of excluded images according to the warnings."""
    return sum(int(text.split(": ")[1].split()[0]) for text in result.warnings if text.startswith("excluded from"))


@given(linked_samples(), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=200)
def test_splits_do_not_depend_on_the_order_of_samples(
    samples: tuple[list[SplitSample], list[SplitSample]], random: Random
) -> None:
    sample = samples[0] + samples[1]
    other = random.sample(sample, len(sample))
    first, second = split(sample), split(other)
    assert splits_by_key(sample, first) == splits_by_key(other, second)
    assert (first.ledger.digest, first.notes, first.warnings) == (second.ledger.digest, second.notes, second.warnings)


@given(linked_samples())
@settings(deadline=None, max_examples=200)
def test_linked_samples_share_a_split_and_warnings_count_all_excluded_images(
    samples: tuple[list[SplitSample], list[SplitSample]],
) -> None:
    samples = samples[0] + samples[1]
    result = split(samples)
    kept = [(sample, name) for sample, name in zip(samples, result.splits, strict=True) if name]
    assert all(
        name == other_name
        for (sample, name), (other, other_name) in itertools.combinations(kept, 2)
        if must_share_split(sample, other)
    )
    assert n_reported(result) == result.splits.count(None)
    assert set(result.ledger.entries) == set(result.ledger.hashes) == {sample.digest for sample in samples}


@given(linked_samples())
@settings(deadline=None, max_examples=200)
def test_added_and_deleted_files_do_not_move_known_samples(
    samples: tuple[list[SplitSample], list[SplitSample]],
) -> None:
    old, new = samples
    first = split(old)
    again = split(old, previous=first.ledger)
    assert (again.splits, again.ledger) == (first.splits, first.ledger)
    grown = split(old + new, previous=first.ledger)
    assert first.ledger.entries.items() <= grown.ledger.entries.items()
    assert all(now in (name, None) for name, now in zip(first.splits, grown.splits, strict=False))
    assert n_reported(grown) == grown.splits.count(None)
    left = old[::2] + new + make_samples(8, old[0].predefined, "more")
    fewer, before = splits_by_key(left, split(left, previous=grown.ledger)), splits_by_key(old + new, grown)
    assert all(fewer[key] in (name, None) for key, name in before.items() if name and key in fewer)


@given(st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=3), min_size=1, max_size=20))
@settings(deadline=None, max_examples=40)
def test_fractions_hold_after_many_small_additions(batches: list[list[int]]) -> None:
    samples, ledger = make_samples(10), None
    for number, sizes in enumerate(batches):
        samples = samples + [
            make_sample(f"{number}-{group}-{member}", "a", group=f"{number}-{group}")
            for group, size in enumerate(sizes)
            for member in range(size)
        ]
        result = split(samples, previous=ledger, val_fraction=0.2, test_fraction=0.2)
        ledger = result.ledger
        counts = Counter(name for sample, name in zip(samples, result.splits, strict=True) if sample.label == "a")
        assert all(abs(counts[name] - 0.2 * counts.total()) <= 7 for name in ("val", "test"))
