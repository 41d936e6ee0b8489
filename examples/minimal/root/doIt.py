"""One run: y = the square root of x."""

import math

import BlackDynamite as BD

run, job = BD.getRunFromScript()
run.start()
run["y"] = math.sqrt(job.x)
run.finish()
