"""What each step is told: only its own knobs, as one canonical JSON string, so that a cache key holds nothing else."""

from graftline.jobs.base import Job
from graftline.jobs.data import DecodeJob, PreprocessJob
from graftline.jobs.proof import EvaluateJob, ExportJob, GateJob, ReleaseJob, ReportJob
from graftline.jobs.split import Jobs, check_dag, decode_jobs, jobs_of
from graftline.jobs.training import Candidate, PlanJob, PretrainJob, RaceJob, SelectJob, SourceJob

__all__ = [
    "Candidate",
    "DecodeJob",
    "EvaluateJob",
    "ExportJob",
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
