"""The types of BlackDynamite's runs and jobs, for annotations in other rooms."""

from __future__ import annotations

from BlackDynamite.job import JobZEO as JobZEO
from BlackDynamite.run_zeo import RunZEO as RunZEO
