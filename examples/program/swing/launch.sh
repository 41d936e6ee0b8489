./pendulum input.txt
