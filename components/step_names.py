"""The names of steps in logs, progress and `run.json`, from the arguments of a component."""

import re
from collections.abc import Mapping
from typing import Any

from graftline.config.jobs import DecodeJob, FinetuneJob, PretrainJob, SourceJob


def step_name(component: str, arguments: Mapping[str, Any]) -> str:
    """Returns the name of a step: the one that its component passes to `events.step`.

    Args:
        component: KFP's name of the component, such as `comp-finetune-2`.
        arguments: What the component is called with.
    """
    base = re.sub(r"-\d+$", "", component.removeprefix("comp-"))
    match base:
        case "preprocess":
            source = SourceJob.model_validate_json(arguments["job"]) if arguments.get("target") else None
            return f"preprocess-{source.preprocess.label if source else 'target'}"
        case "decode":
            return f"decode-{DecodeJob.model_validate_json(arguments['job']).name}"
        case "merge":
            return "merge-target"
        case "pretrain":
            return f"pretrain-{PretrainJob.model_validate_json(arguments['job']).label}"
        case "finetune":
            return f"{arguments['phase']}-{FinetuneJob.model_validate_json(arguments['candidate']).name}"
        case "halve":
            return "halve-2" if arguments.get("before") else "halve-1"
    return base
