# One run is one process: without this, numerical libraries may start a thread for each core.
export OMP_NUM_THREADS=1
python doIt.py
