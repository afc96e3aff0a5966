"""Loading of networks from checkpoints."""

from pathlib import Path

from graftline.models.checkpoint import WEIGHTS, CheckpointManifest
from graftline.models.libraries.shapes import Unfilled
from graftline.models.libraries.weights import read_safetensors
from graftline.models.network import Network, build_network
from graftline.models.transfer.gate import fill
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import NAME, read


def load_checkpoint(folder: Path) -> tuple[Network, CheckpointManifest]:
    """Returns a checkpoint's network with its weights, on the CPU in eval mode, and its manifest.

    Raises:
        RefusedError: The checkpoint is incomplete, modified or damaged, has no weights, or its weights do not match its
            manifest.
    """
    manifest = read(folder, CheckpointManifest, verify=True)
    if manifest.row.status != "ok" and not manifest.digest:
        raise RefusedError(
            f"{folder}: no weights, its training ended as {manifest.row.status!r}: {manifest.row.reason}"
        )
    if manifest.files.get(WEIGHTS) is None or manifest.files[WEIGHTS] != manifest.digest:
        raise RefusedError(f"{folder / NAME}: its digest is not that of {WEIGHTS}; create the checkpoint again")
    with Unfilled():
        network = build_network(manifest.spec)
    fill(network, read_safetensors(folder / WEIGHTS))
    return network.eval(), manifest
