"""Groups of samples that must stay in the same split: exact duplicates, near duplicates, and the data's own groups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from graftline.data.dataset import SplitName
from graftline.data.duplicates.clusters import default_max_distance, find_clusters, has_near_duplicate
from graftline.data.images.perceptual import HASH_BYTES
from graftline.data.splits.ledger import Ledger


@dataclass(frozen=True, slots=True)
class SplitSample:
    """A decoded sample as the assignment of splits needs it."""

    key: str
    label: str
    predefined: SplitName | None
    """Split that the data specify, if any."""
    digest: str
    group: str | None = None
    """Group that must not be split, such as a patient, camera, or video."""
    phash: bytes = b""
    """32 bytes of perceptual hash; empty if near duplicates are not searched for."""


@dataclass(frozen=True)
class SplitGroups:
    """Split groups: the connected components of samples linked by equal digests, near duplicates, and groups.

    Numbers carry no meaning other than identity.
    """

    by_digest: dict[str, int]
    """Digest to split group; includes digests that only the ledger has."""
    by_group: dict[str, int]
    """The data's group to split group."""
    clusters: dict[str, int]
    """Digest to near-duplicate cluster, of digests with a hash; includes digests that only the ledger has."""


def find_split_groups(
    samples: Sequence[SplitSample], previous: Ledger | None, image_size: tuple[int, int]
) -> SplitGroups:
    """Finds the split groups of all samples and of the ledger's hashes.

    Hashes of deleted files count too, because such a sample may be part of a frozen test set.

    Args:
        samples: Samples of the current data.
        previous: Ledger of an earlier run.
        image_size: (H, W) of the decoded samples, which decides the largest distance between near duplicates.
    """
    hashes = {sample.digest: sample.phash for sample in samples if sample.phash}
    if hashes and previous is not None:
        hashes = {**{digest: bytes.fromhex(text) for digest, text in previous.hashes.items()}, **hashes}
    clusters = _cluster_digests(hashes, default_max_distance(*image_size))
    digests = dict.fromkeys([*clusters, *(sample.digest for sample in samples)])
    nodes = {digest: node for node, digest in enumerate(digests)}
    first_of_cluster: dict[int, int] = {}
    first_of_group: dict[str, int] = {}
    edges = [
        (nodes[digest], first_of_cluster.setdefault(cluster, nodes[digest])) for digest, cluster in clusters.items()
    ]
    edges += [
        (nodes[sample.digest], first_of_group.setdefault(sample.group, nodes[sample.digest]))
        for sample in samples
        if sample.group
    ]
    components = _connected_components(edges, len(nodes))
    return SplitGroups(
        {digest: components[node] for digest, node in nodes.items()},
        {group: components[node] for group, node in first_of_group.items()},
        clusters,
    )


def find_test_overlap(
    samples: Sequence[SplitSample], target_test: Sequence[SplitSample], image_size: tuple[int, int]
) -> list[bool]:
    """Finds the source samples that occur in the target's test split, exactly or as near duplicates.

    Args:
        samples: Samples of the source.
        target_test: The target's test split.
        image_size: (H, W) of the decoded samples, which decides the largest distance between near duplicates.

    Returns:
        One boolean per source sample.
    """
    test_digests = {sample.digest for sample in target_test}
    source_hashes, test_hashes = (
        sorted({sample.phash for sample in side if sample.phash}) for side in (samples, target_test)
    )
    near: set[bytes] = set()
    if source_hashes and test_hashes:
        is_near = has_near_duplicate(
            _to_array(source_hashes), _to_array(test_hashes), default_max_distance(*image_size)
        )
        near = {source_hashes[index] for index in np.flatnonzero(is_near).tolist()}
    return [sample.digest in test_digests or sample.phash in near for sample in samples]


def _cluster_digests(hashes: Mapping[str, bytes], max_distance: int) -> dict[str, int]:
    distinct = sorted(set(hashes.values()))
    if not distinct:
        return {}
    clusters = dict(zip(distinct, find_clusters(_to_array(distinct), max_distance).tolist(), strict=True))
    return {digest: clusters[phash] for digest, phash in hashes.items()}


def _to_array(hashes: Sequence[bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(hashes), np.uint8).reshape(len(hashes), HASH_BYTES)


def _connected_components(edges: Sequence[tuple[int, int]], n_nodes: int) -> list[int]:
    """Returns the connected component of each node."""
    ends = np.array(edges, np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(edges), np.int8), (ends[0], ends[1])), shape=(n_nodes, n_nodes))
    components: list[int] = connected_components(graph, directed=False)[1].tolist()
    return components
