/*
 * A stand-in for nvbandwidth's multinode tests where no GPU is: every rank opens the IMEX channel that the driver
 * injected, then each ordered pair of ranks moves real bytes over MPI and the receiver measures, checks and reports them.
 *
 * What it prints has the shape of the user guide's listing. The figures are those of a CPU network, and it says so.
 */
#include <errno.h>
#include <fcntl.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define CHANNEL "/dev/nvidia-caps-imex-channels/channel0"
#define BUFFER (2 << 20)
#define COPIES 9
#define LINE 512
#define TAG 1

struct test {
    const char *name;
    const char *says;
    int reads; /* the column fetches from the row; otherwise the row hands to the column */
};

static const struct test tests[] = {
    {"multinode_device_to_device_memcpy_read_ce", "memcpy CE GPU(row) -> GPU(column) bandwidth (GB/s)", 1},
    {"multinode_device_to_device_memcpy_write_ce", "memcpy CE GPU(row) <- GPU(column) bandwidth (GB/s)", 0},
};

static const struct test *test_named(const char *name)
{
    for (size_t at = 0; at < sizeof tests / sizeof *tests; at++)
        if (strcmp(tests[at].name, name) == 0)
            return &tests[at];
    return NULL;
}

/* The test that the command line asks for; NULL, with the reason said once, when there is none. */
static const struct test *wanted(int argc, char **argv, int rank)
{
    const struct test *found = NULL;
    if (argc == 3 && (strcmp(argv[1], "-t") == 0 || strcmp(argv[1], "--testcase") == 0))
        found = test_named(argv[2]);
    if (found == NULL && rank == 0) {
        fprintf(stderr, "nvbandwidth (stand-in): this one knows only `-t TEST`, with TEST one of");
        for (size_t at = 0; at < sizeof tests / sizeof *tests; at++)
            fprintf(stderr, " %s", tests[at].name);
        fprintf(stderr, "\n");
    }
    return found;
}

/*
 * Whether this rank may use its channel. Without NVIDIA's driver an admitted device answers ENXIO: the node is there and
 * the device cgroup let us through. Anything else is a channel that was not injected.
 */
static int channel_admitted(int rank, const char *host, char *said)
{
    struct stat node;
    int there = stat(CHANNEL, &node) == 0;
    int opened = open(CHANNEL, O_RDWR);
    int why = errno;
    if (opened >= 0)
        close(opened);
    if (opened < 0 && (why != ENXIO || !there || !S_ISCHR(node.st_mode))) {
        fprintf(stderr, "nvbandwidth (stand-in): rank %d (%s): %s: %s\n", rank, host, CHANNEL, strerror(why));
        return 0;
    }
    snprintf(said, LINE, "Process %d (%s): no GPU, %s (%u:%u) %s", rank, host, CHANNEL, major(node.st_rdev),
             minor(node.st_rdev), opened >= 0 ? "opened" : "admitted, no driver behind it");
    return 1;
}

/* Every rank's line, in order, by rank 0. */
static void introduce(int rank, int size, const char *mine)
{
    char *all = rank == 0 ? malloc((size_t)size * LINE) : NULL;
    MPI_Gather(mine, LINE, MPI_CHAR, all, LINE, MPI_CHAR, 0, MPI_COMM_WORLD);
    for (int from = 0; rank == 0 && from < size; from++)
        printf("%s\n", all + (size_t)from * LINE);
    free(all);
}

/* Wait for the others without using the processor, which those that measure need. */
static void rest(void)
{
    const struct timespec nap = {.tv_nsec = 500000};
    MPI_Request all_here;
    int done = 0;
    MPI_Ibarrier(MPI_COMM_WORLD, &all_here);
    for (MPI_Test(&all_here, &done, MPI_STATUS_IGNORE); !done; MPI_Test(&all_here, &done, MPI_STATUS_IGNORE))
        nanosleep(&nap, NULL);
}

/* Hand `COPIES` buffers over, after one that is not measured, as it makes the connection. */
static void hand_over(char *buffer, int rank, int to)
{
    memset(buffer, 'a' + rank % 26, BUFFER);
    for (int copy = 0; copy <= COPIES; copy++)
        MPI_Send(buffer, BUFFER, MPI_CHAR, to, TAG, MPI_COMM_WORLD);
}

static int ascending(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

/* Every byte has to be the sender's. */
static void check(const char *buffer, int from)
{
    for (size_t at = 0; at < BUFFER; at++)
        if (buffer[at] != 'a' + from % 26) {
            fprintf(stderr, "nvbandwidth (stand-in): byte %zu of what rank %d sent is wrong\n", at, from);
            MPI_Abort(MPI_COMM_WORLD, 3);
        }
}

/* GB/s of what arrived, by the median of the copies: whoever else uses the processors delays some of them. */
static double take(char *buffer, int from)
{
    double lasted[COPIES + 1];
    memset(buffer, 0, BUFFER);
    for (int copy = 0; copy <= COPIES; copy++) {
        double begun = MPI_Wtime();
        MPI_Recv(buffer, BUFFER, MPI_CHAR, from, TAG, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        lasted[copy] = MPI_Wtime() - begun;
    }
    check(buffer, from);
    qsort(lasted + 1, COPIES, sizeof *lasted, ascending);
    return BUFFER / lasted[1 + COPIES / 2] / 1e9;
}

/* The cells of the table that this rank measured: those of the pairs in which it received. */
static void measure(const struct test *test, int rank, int size, double *cells)
{
    char *buffer = malloc(BUFFER);
    for (int row = 0; row < size; row++)
        for (int column = 0; column < size; column++) {
            int from = test->reads ? row : column, to = test->reads ? column : row;
            if (row != column && rank == from)
                hand_over(buffer, rank, to);
            if (row != column && rank == to)
                cells[row * size + column] = take(buffer, from);
            rest();
        }
    free(buffer);
}

static void table(const struct test *test, int size, const double *cells)
{
    double sum = 0;
    printf("\nRunning %s.\n%s\n    ", test->name, test->says);
    for (int column = 0; column < size; column++)
        printf("%10d", column);
    for (int row = 0; row < size; row++) {
        printf("\n%4d", row);
        for (int column = 0; column < size; column++) {
            if (row == column)
                printf("%10s", "N/A");
            else
                printf("%10.2f", cells[row * size + column]);
            sum += cells[row * size + column];
        }
    }
    printf("\n\nSUM %s %.2f\n\n", test->name, sum);
    printf("NOTE: This is a stand-in of the nvdra test bed. It measured a CPU network, MPI messages between the memories of\n"
           "processes: no GPU, no NVLink and no IMEX export took part, and the figures say nothing about any.\n");
}

/* Everything between MPI_Init and MPI_Finalize: the exit code. */
static int run(int argc, char **argv)
{
    int rank, size, length;
    char host[MPI_MAX_PROCESSOR_NAME], library[MPI_MAX_LIBRARY_VERSION_STRING], mine[LINE] = "";
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Get_processor_name(host, &length);
    MPI_Get_library_version(library, &length);
    const struct test *test = wanted(argc, argv, rank);
    if (test == NULL)
        return 2;
    int admitted = channel_admitted(rank, host, mine), all_admitted;
    MPI_Allreduce(&admitted, &all_admitted, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    if (!all_admitted)
        return 1;
    if (rank == 0)
        printf("nvbandwidth Version: none, a stand-in without CUDA\n\nMPI version: %s\n\n", library);
    introduce(rank, size, mine);
    double *cells = calloc((size_t)size * size, sizeof *cells), *all = calloc((size_t)size * size, sizeof *all);
    measure(test, rank, size, cells);
    MPI_Reduce(cells, all, size * size, MPI_DOUBLE, MPI_SUM, 0, MPI_COMM_WORLD);
    if (rank == 0)
        table(test, size, all);
    free(cells);
    free(all);
    return 0;
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    int code = run(argc, argv);
    MPI_Finalize();
    return code;
}
