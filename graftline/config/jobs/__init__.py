"""Defines the jobs: the settings of each step as canonical JSON, so that its cache key depends only on them."""

from graftline.config.jobs.base import Job
from graftline.config.jobs.data import DecodeJob, PreprocessJob
from graftline.config.jobs.evaluation import EvaluateJob, ExportJob, GateJob, ReleaseJob, ReportJob
from graftline.config.jobs.split import Jobs, check_dag, decode_jobs, jobs_of
from graftline.config.jobs.training import FinetuneJob, PlanJob, PretrainJob, RaceJob, SelectJob, SourceJob

__all__ = [
    "DecodeJob",
    "EvaluateJob",
    "ExportJob",
    "FinetuneJob",
    "GateJob",
    "Job",
    "Jobs",
    "PlanJob",
    "PreprocessJob",
    "PretrainJob",
    "RaceJob",
    "ReleaseJob",
    "ReportJob",
    "SelectJob",
    "SourceJob",
    "check_dag",
    "decode_jobs",
    "jobs_of",
]
