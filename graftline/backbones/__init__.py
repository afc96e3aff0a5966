"""Networks split into backbone and head, by name: torchvision's, timm's and the articles' mlp, cnn and rnn."""

from graftline.backbones.contract import at_resolution, contract_for, for_images, native_statistics
from graftline.backbones.head import new_head
from graftline.backbones.initial import Initial, initial
from graftline.backbones.inputs import Inputs, prepare
from graftline.backbones.layers import layer_keys, layers
from graftline.backbones.network import Network, build
from graftline.backbones.structure import architecture_of, structures
from graftline.backbones.transfer import Transferred, fill, transfer

__all__ = [
    "Initial",
    "Inputs",
    "Network",
    "Transferred",
    "architecture_of",
    "at_resolution",
    "build",
    "contract_for",
    "fill",
    "for_images",
    "initial",
    "layer_keys",
    "layers",
    "native_statistics",
    "new_head",
    "prepare",
    "structures",
    "transfer",
]
