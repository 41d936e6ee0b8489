"""What the watcher tells: every transition, in order, whatever becomes of runs and databases.

Another process writes; a subscriber that wants all from the beginning is compared with what was
written, or with the database's own log.
"""

from oracle import transitions

from motoko.config import load


def true(flow, study="mult"):
    return transitions(load(flow.path).studies[study])
