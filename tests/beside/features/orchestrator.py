import re
from pathlib import Path

import transaction


def populate_arg_parser(parser):
    pass


async def main(workflow, **params):
    text = (Path(__file__).parent / "features" / "doIt.py").read_text()
    features = re.findall(r"^def (\w+)\(run, job\)", text, re.MULTILINE)
    workflow.features.createTask(
        {"kind": "fine", "y": 0.0, "settings": {"mesh": {"size": 0.5}}},
        feature=features,
        x=2.5,
        n=3,
        label="one label",
    )
    transaction.commit()
    workflow.finished = True
