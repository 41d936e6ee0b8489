/* The period of a pendulum of length 1 in gravity 1. It knows nothing of Motoko.

   ./pendulum input.txt    reads "amplitude" (degrees) and "steps" (a unit of time has so many),
                           prints the period, and writes the swing into swing.csv */
#include <math.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    char name[32];
    double value, amplitude = 0, steps = 0;
    FILE *input = argc == 2 ? fopen(argv[1], "r") : NULL, *output = fopen("swing.csv", "w");

    if (!input || !output) {
        fprintf(stderr, "usage: pendulum INPUT\n");
        return 2;
    }
    while (fscanf(input, "%31s %lf", name, &value) == 2) {
        if (!strcmp(name, "amplitude"))
            amplitude = value;
        else if (!strcmp(name, "steps"))
            steps = value;
    }
    if (amplitude <= 0 || amplitude >= 180 || steps < 1) {
        fprintf(stderr, "amplitude %g, steps %g: out of range\n", amplitude, steps);
        return 1;
    }
    /* From the turning point to the lowest one is a quarter of the period. */
    double step = 1 / steps, angle = amplitude * acos(-1) / 180, speed = 0, time = 0;
    fprintf(output, "time,angle\n");
    for (;;) {
        fprintf(output, "%g,%g\n", time, angle);
        double before = angle;
        speed -= step / 2 * sin(angle);
        angle += step * speed;
        speed -= step / 2 * sin(angle);
        if (angle <= 0) {
            time += step * before / (before - angle);
            break;
        }
        time += step;
    }
    printf("period = %.8f\n", 4 * time);
    return fclose(output) || fclose(input);
}
