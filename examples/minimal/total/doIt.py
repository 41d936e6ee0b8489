"""One run: y = the sum of the terms."""

import BlackDynamite as BD

run, job = BD.getRunFromScript()
run.start()
run["y"] = sum(job.terms)
run.finish()
