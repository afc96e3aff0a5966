"""The only file that knows nodes: GPU profiles, tolerations, shared memory, spot, retries, timeouts, images.

A profile is fixed when a DAG is compiled: KFP takes retries, timeouts and the size of shared memory at no other time.
kfp.local ignores all of it. KFP also ignores retries inside ParallelFor (kubeflow/pipelines issue 13897), so a
pre-empted pretrain or finetune is not started again by KFP; the next run takes finished steps from the cache and does
that one anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from kfp import kubernetes
from kfp.dsl import PipelineTask


@dataclass(frozen=True)
class Profile:
    """Where the training steps run. All else runs on whatever node is free."""

    about: str
    count: int = 0
    """Accelerators a step; 0 trains on the CPU."""
    accelerator: str = "nvidia.com/gpu"
    """Resource name of the accelerator."""
    selector: Mapping[str, str] = field(default_factory=dict)
    """Node labels. A GPU limit alone never schedules on a tainted pool."""
    tolerations: Mapping[str, str] = field(default_factory=dict)
    """Taint key to the taint's value; an empty value tolerates any. Effect NoSchedule."""
    shared_memory: str = "2Gi"
    """Size of /dev/shm, which is 64 MB else: too little for data loader workers. Counts as memory of the pod."""
    cpu: str = "4"
    """CPU cores asked for."""
    memory: str = "12Gi"
    """Memory asked for, shared memory included."""
    retries: int = 2
    """Times that a failed step is started again; a step that failed by a bug or a refusal then stops at once."""
    timeout: int = 24 * 3600
    """Seconds after which a step's pod is stopped."""
    spot: bool = False
    """Nodes that may be taken away at any moment."""


_NVIDIA = {"nvidia.com/gpu": ""}


def _gke(about: str, label: str, cpu: str, memory: str, shared_memory: str) -> Profile:
    return Profile(
        about,
        count=1,
        selector={"cloud.google.com/gke-accelerator": label},
        tolerations=_NVIDIA,
        cpu=cpu,
        memory=memory,
        shared_memory=shared_memory,
    )


def _spot(profile: Profile) -> Profile:
    label = {"cloud.google.com/gke-spot": "true"}
    return replace(
        profile,
        about=f"{profile.about}, spot",
        spot=True,
        retries=5,
        selector={**profile.selector, **label},
        tolerations={**profile.tolerations, **label},
    )


_FIXED = {
    "none": Profile("no accelerator"),
    "gpu": Profile("any NVIDIA GPU behind the device plugin", count=1, tolerations=_NVIDIA),
    "gke-t4": _gke("GKE, NVIDIA T4 16 GB", "nvidia-tesla-t4", "3", "12Gi", "2Gi"),
    "gke-l4": _gke("GKE, NVIDIA L4 24 GB", "nvidia-l4", "6", "20Gi", "4Gi"),
    "gke-a100": _gke("GKE, NVIDIA A100 40 GB", "nvidia-tesla-a100", "10", "70Gi", "16Gi"),
    "gke-h100": _gke("GKE, NVIDIA H100 80 GB", "nvidia-h100-80gb", "20", "180Gi", "32Gi"),
}
PROFILES: dict[str, Profile] = _FIXED | {f"{name}-spot": _spot(p) for name, p in _FIXED.items() if name[:3] == "gke"}
"""Profile names to profiles."""


GPU_IMAGE = "graftline-python:gpu"
"""Image of the steps that train, where no image is named and the profile has accelerators."""


@dataclass(frozen=True)
class Placement:
    """How one compiled DAG is laid on nodes: a profile and the images that the steps run in."""

    image: str
    profile: Profile | None = None
    """None places nothing, for kfp.local."""
    training_image: str | None = None
    """For the steps that train, where it is another one (the GPU image)."""

    def anywhere(self, task: PipelineTask) -> PipelineTask:
        """Places a step that needs no accelerator."""
        return self._common(task, self.image)

    def training(self, task: PipelineTask) -> PipelineTask:
        """Places a step that trains: pretrain, finetune and its confirmations."""
        return place(self._common(task, self.training_image or self.image), self.profile)

    def _common(self, task: PipelineTask, image: str) -> PipelineTask:
        task.set_container_image(image)
        if self.profile is not None:
            task.set_retry(num_retries=self.profile.retries, backoff_duration="60s", backoff_factor=2.0)
            kubernetes.set_timeout(task, seconds=self.profile.timeout)
        return task


def place(task: PipelineTask, profile: Profile | None) -> PipelineTask:
    """Lays a training task on the profile's nodes; for DAGs of one's own.

    Args:
        task: A task of a pipeline under construction.
        profile: From `PROFILES`; None leaves the task as it is.

    Returns:
        The task.
    """
    if profile is None:
        return task
    task.set_cpu_request(profile.cpu).set_memory_request(profile.memory).set_memory_limit(profile.memory)
    kubernetes.empty_dir_mount(
        task, volume_name="shared-memory", mount_path="/dev/shm", medium="Memory", size_limit=profile.shared_memory
    )
    if profile.count:
        task.set_accelerator_type(profile.accelerator).set_accelerator_limit(profile.count)
    for label, value in profile.selector.items():
        kubernetes.add_node_selector(task, label_key=label, label_value=value)
    for key, value in profile.tolerations.items():
        kubernetes.add_toleration(
            task, key=key, operator="Equal" if value else "Exists", value=value or None, effect="NoSchedule"
        )
    return task
