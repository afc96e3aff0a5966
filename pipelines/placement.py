"""Nodes and images of the tasks: GPU profiles, tolerations, shared memory, spot nodes, retries, timeouts.

A profile is fixed when a DAG is compiled, because KFP sets retries, timeouts and the size of shared memory only then.
kfp.local ignores all of it. KFP also ignores retries inside ParallelFor (kubeflow/pipelines issue 13897), so it does
not restart a preempted pretrain or finetune; the next run reads completed steps from the cache and repeats that one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from kfp import kubernetes
from kfp.dsl import PipelineTask


@dataclass(frozen=True)
class Profile:
    """Nodes and resources of the training steps. All other steps run on any node."""

    about: str
    count: int = 0
    """Accelerators per step; 0 trains on the CPU."""
    accelerator: str = "nvidia.com/gpu"
    """Resource name of the accelerator."""
    selector: Mapping[str, str] = field(default_factory=dict)
    """Node selector: labels of the nodes."""
    tolerations: Mapping[str, str] = field(default_factory=dict)
    """Tolerations of the effect NoSchedule: taint key to value; an empty value tolerates any. Without them, a GPU limit
    does not schedule on a tainted node pool."""
    shared_memory: str = "2Gi"
    """Size of /dev/shm, 64 MB by default, which is too small for data loader workers. Counts toward the pod's
    memory."""
    cpu: str = "4"
    """CPU request in cores."""
    memory: str = "12Gi"
    """Memory request and limit, shared memory included."""
    retries: int = 2
    """Maximum number of retries of a failed step; a retry after a bug or a refusal stops at once."""
    timeout: int = 24 * 3600
    """Timeout of a step's pod in seconds."""
    spot: bool = False
    """Whether the nodes are spot nodes, which can be preempted at any time."""


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
    "gpu": Profile("any NVIDIA GPU of the device plugin", count=1, tolerations=_NVIDIA),
    "gke-t4": _gke("GKE, NVIDIA T4 16 GB", "nvidia-tesla-t4", "3", "12Gi", "2Gi"),
    "gke-l4": _gke("GKE, NVIDIA L4 24 GB", "nvidia-l4", "6", "20Gi", "4Gi"),
    "gke-a100": _gke("GKE, NVIDIA A100 40 GB", "nvidia-tesla-a100", "10", "70Gi", "16Gi"),
    "gke-h100": _gke("GKE, NVIDIA H100 80 GB", "nvidia-h100-80gb", "20", "180Gi", "32Gi"),
}
PROFILES: dict[str, Profile] = _FIXED | {f"{name}-spot": _spot(p) for name, p in _FIXED.items() if name[:3] == "gke"}
"""Profiles by name."""


GPU_IMAGE = "graftline-python:gpu"
"""Image of the training steps, if no image is given and the profile has accelerators."""


@dataclass(frozen=True)
class Placement:
    """The nodes and images of one compiled DAG."""

    image: str
    profile: Profile | None = None
    """None sets no nodes and resources, for kfp.local."""
    training_image: str | None = None
    """Image of the training steps if it differs, such as the GPU image."""

    def any_node(self, task: PipelineTask, name: str) -> PipelineTask:
        """Configures and names a task that needs no accelerator."""
        return self._configure(task, self.image, name)

    def training_node(self, task: PipelineTask, name: str) -> PipelineTask:
        """Configures and names a task that trains: pretrain, finetune and its confirmations."""
        return place(self._configure(task, self.training_image or self.image, name), self.profile)

    def _configure(self, task: PipelineTask, image: str, name: str) -> PipelineTask:
        task.set_container_image(image)
        if self.profile is not None:
            task.set_retry(num_retries=self.profile.retries, backoff_duration="60s", backoff_factor=2.0)
            kubernetes.set_timeout(task, seconds=self.profile.timeout)
        return task.set_display_name(name)


def place(task: PipelineTask, profile: Profile | None) -> PipelineTask:
    """Sets the nodes and resources of a training task; also for custom DAGs.

    Args:
        task: A task of a pipeline that is being built.
        profile: A profile, such as one of `PROFILES`; None leaves the task unchanged.

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
