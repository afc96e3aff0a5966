"""What all faces share: the image they run in unless a DAG names another, and no pip at their start."""

from functools import partial

from kfp import dsl

IMAGE = "graftline-python:cpu"

component = partial(dsl.component, base_image=IMAGE, install_kfp_package=False)
