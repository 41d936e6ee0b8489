"""One run: y = x * x."""

import BlackDynamite as BD

run, job = BD.getRunFromScript()  # which run am I, and with which parameters?

run.start()  # state START
run["y"] = job.x * job.x  # results are stored on the run
run.finish()  # state FINISHED: saves y, and wakes whoever waits for this run

# No try/except: an exception ends the script with exit code 1, and the run becomes FAILED.
