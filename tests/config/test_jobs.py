from typing import Any

import pytest

from graftline.config import Config
from graftline.config.jobs import ExportJob, decode_jobs, jobs_of
from graftline.runtime.errors import RefusedError


def config(**more: Any) -> Config:
    return Config.model_validate({"target": {"data": "pets"}, "image_size": 16} | more)


def test_every_shard_of_the_target_and_of_sources_with_data_is_listed_once() -> None:
    jobs = jobs_of(config(source=[{"data": "cars"}, {"init": "random"}]), {"pets": "p", "cars": "c"})
    found = decode_jobs(jobs, 2)
    assert [(job.name, job.shard, job.shards) for job in found] == [
        ("target-1of2", 0, 2),
        ("target-2of2", 1, 2),
        ("cars-1of2", 0, 2),
        ("cars-2of2", 1, 2),
    ]
    assert [job.data for job in found] == [jobs.target] * 2 + [jobs.sources[0].preprocess] * 2


def test_a_source_with_the_targets_data_shares_its_shards() -> None:
    jobs = jobs_of(config(source={"data": "pets"}), {})
    assert jobs.sources[0].preprocess == jobs.target
    assert [job.name for job in decode_jobs(jobs, 2)] == ["target-1of2", "target-2of2"]


def test_decode_jobs_without_image_size_are_refused() -> None:
    with pytest.raises(RefusedError, match="image_size: missing, and no shard has all images to derive it from"):
        decode_jobs(jobs_of(config(image_size=None), {}), 1)


def test_the_relative_tolerance_of_the_export_is_also_read_under_its_earlier_name() -> None:
    assert ExportJob.model_validate({"atol": 0.5}) == ExportJob(rtol=0.5)
