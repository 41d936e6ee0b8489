# A run executes this in its own directory; Motoko puts a bash header in front of it.
# The exit code of the last command is the exit code of the run: other than 0 means FAILED.
python doIt.py
