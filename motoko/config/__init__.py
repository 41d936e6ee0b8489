"""motoko.yaml and each study's bd.yaml, as typed, validated, frozen values."""

from motoko.config.declared_types import TYPES as TYPES
from motoko.config.study_config import RESERVED_NAMES as RESERVED_NAMES
from motoko.config.study_config import StudyConfig as StudyConfig
from motoko.config.workflow_config import FILE_NAME as FILE_NAME
from motoko.config.workflow_config import WorkflowConfig as WorkflowConfig
from motoko.config.workflow_config import find as find
from motoko.config.workflow_config import load as load
