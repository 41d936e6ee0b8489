/* The clock of a host that is wrong: loaded into its processes by /etc/ld.so.preload.
 *
 * The kernel has no realtime clock for each namespace. Slurm's and munge's own programs see the
 * right time: a node whose clock is off by more than munge allows (five minutes) gets no jobs at
 * all, and what is tested is what happens to a job.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t shift(void)
{
    static const char *const right[] = {"slurm", "munge", "sbatch", "srun", "squeue", "scontrol"};
    for (unsigned i = 0; i < sizeof right / sizeof *right; i++)
        if (!strncmp(program_invocation_short_name, right[i], strlen(right[i])))
            return 0;
    return SHIFT;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    long error = syscall(SYS_clock_gettime, clock, now);
    if (!error && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += shift();
    return error;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec precise;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *copy)
{
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (copy)
        *copy = precise.tv_sec;
    return precise.tv_sec;
}
