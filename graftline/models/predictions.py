"""Logits of a network for all images of a split."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from graftline.data.dataset import Split
from graftline.models.input_contract import InputContract
from graftline.runtime import events
from graftline.runtime.errors import DivergedError

if TYPE_CHECKING:
    from torch import nn


def predict_logits(
    network: "nn.Module", contract: InputContract, split: Split, *, name: str, batch: int = 256
) -> NDArray[np.float32]:
    """Returns a network's logits for a split, computed in eval mode on a GPU if there is one, with TF32 off.

    Args:
        network: Network whose input is the output of `prepare`. It remains in eval mode on the device that it ran on.
        contract: The network's input contract.
        split: Split with images (N, C, H, W).
        name: Name of the network for progress and error messages.
        batch: Batch size.

    Returns:
        Logits of shape (N, K).

    Raises:
        DivergedError: A logit is NaN or infinite.
    """
    import torch

    from graftline.models.devices import pick, settle_threads
    from graftline.models.inputs.preprocessing import prepare

    device = pick()
    settle_threads(network, contract)
    network.to(device).eval()
    parts: list[NDArray[np.float32]] = []
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        for start in range(0, len(split), batch):
            images = torch.from_numpy(np.array(split.images[start : start + batch])).to(device)
            parts.append(network(prepare(images, contract)).float().cpu().numpy())
            events.progress(min(start + batch, len(split)), len(split), f"predicting with {name}")
    logits = np.concatenate(parts)
    if bad := int((~np.isfinite(logits)).any(1).sum()):
        raise DivergedError(f"{name}: {bad} of {len(logits)} samples got logits that are NaN or infinite")
    return logits
