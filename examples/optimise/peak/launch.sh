python doIt.py
