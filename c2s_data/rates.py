"""The table that an estimate reckons with: seconds a map, a typical map, prices by site."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from c2s_data.errors import ConfigError
from c2s_data.sources.bounded_documents import DocumentError, parse_yaml

BUILT_IN: Final = Path(__file__).with_name("rates.yaml")
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Row(BaseModel):
    # A misspelled row must not leave the built-in idea of a price in force.
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class BuildTime(_Row):
    """Seconds of one core: a map, 10^6 voxels of its file, 10^3 of its subgrids."""

    map: Amount
    source_megavoxel: Amount
    subgrid_thousand: Amount


class BuildTimes(_Row):
    """`BuildTime` without and with the spline or the quality of map and model."""

    linear: BuildTime
    quality: BuildTime
    date: datetime.date
    meaning: str = Field(alias="for")


class TypicalMap(_Row):
    """What a map counts for whose file is not here: a cube of so many subgrids."""

    subgrids: Annotated[int, Field(ge=1)]
    voxel_A: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    gzipped: Annotated[float, Field(gt=0, le=1)]
    model_bytes: Annotated[int, Field(ge=0)]
    date: datetime.date
    meaning: str = Field(alias="for")


class Price(_Row):
    """US dollars, when that was noted, and for what exactly."""

    usd: Amount
    date: datetime.date
    meaning: str = Field(alias="for")


class Site(_Row):
    """Prices of one place: a core hour, a GB for a month, 1,000 requests, a GB that leaves it."""

    core_hour: Price
    storage_gb_month: Price
    write_1000: Price
    read_1000: Price
    leaving_gb: Price

    def prices(self) -> tuple[Price, ...]:
        """Return all of them."""
        return (
            *(self.core_hour, self.storage_gb_month),
            *(self.write_1000, self.read_1000, self.leaving_gb),
        )


class Rates(_Row):
    """The whole table."""

    build_seconds: BuildTimes
    typical_map: TypicalMap
    sites: dict[str, Site]


def read_rates(path: Path = BUILT_IN) -> Rates:
    """Read a table of rates; the built-in one by default.

    Raises
    ------
    ConfigError
        If it cannot be read, or a row is missing, misspelled or no amount.
    """
    remedy = f"begin with a copy of {BUILT_IN.name}, which the package holds"
    try:
        return Rates.model_validate(parse_yaml(path.read_bytes(), name=str(path)))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; {remedy}") from error
    except DocumentError as error:
        raise ConfigError(str(error)) from error
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'table'}: {fault['msg']}"
            for fault in error.errors()
        )
        raise ConfigError(f"{path}: {faults}; {remedy}") from error
