"""graftline: transfer learning as a Kubeflow pipeline."""

__version__ = "0.1.0"
