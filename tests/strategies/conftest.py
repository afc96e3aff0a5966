"""One thread: these networks are tiny, and the tests share the cores with others."""

import torch

torch.set_num_threads(1)
