"""The decorator of all components: their default image, and no `pip install` when they start."""

from functools import partial

from kfp import dsl

IMAGE = "graftline-python:cpu"
"""Image of a component, unless a DAG sets another one."""

component = partial(dsl.component, base_image=IMAGE, install_kfp_package=False)
