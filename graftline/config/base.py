"""The base class of all config sections, and types of checked values."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError(f"{value} is even; expected an odd number of pixels, so that the kernel has a center")
    return value


Kernel = Annotated[int, Field(ge=1, le=11), AfterValidator(_odd)]


class Settings(BaseModel):
    """Base class of all config sections: refuses unknown keys, and is immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
