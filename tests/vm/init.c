/* SPDX-License-Identifier: MIT */
/*
 * The /init of the test VMs: owns everything between the kernel's hand-over and the
 * power-off. It mounts the pseudo file systems, gives each edu device to vfio-pci, runs
 * the commands of /run-list one after the other on the console, prints the kernel log's
 * warnings, and powers off.
 *
 * It judges nothing. It frames what it runs with lines that start with "@@VM "; merge-tap
 * reads them on the host:
 *
 *     @@VM BOOT                          init is running
 *     @@VM EDU k BDF bound|unbound       the k-th edu device, in PCI order
 *     @@VM BEGIN n name                  the n-th command of the run list starts
 *     @@VM END n exit=S | signal=S | error=WHY
 *     @@VM KMSG BEGIN                    warnings and worse of the kernel log follow
 *     @@VM KMSG END
 *     @@VM DONE                          all was run; power-off
 *
 * A missing marker means that the VM died there. Each marker starts with a newline of its
 * own, as a command may end in the middle of a line.
 *
 * Neighbours: run-vm (writes the run list, boots), merge-tap (reads the console).
 * Static and free of dependencies, so that it runs whatever else the initrd holds.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_EDU    32
#define MAX_WORDS  128
#define MAX_LINE   4096
#define BDF_SIZE   16

#define EDU_VENDOR "0x1234"
#define EDU_DEVICE "0x11e8"

/* syslog(2) actions; <sys/klog.h> does not name them */
#define SYSLOG_ACTION_READ_ALL      3
#define SYSLOG_ACTION_CONSOLE_LEVEL 8
#define SYSLOG_ACTION_SIZE_BUFFER   10
#define LEVEL_WARNING               4

static char edus[MAX_EDU][BDF_SIZE];
static int n_edus;

#define mark(...) (printf("\n@@VM " __VA_ARGS__), printf("\n"), fflush(stdout))

static void mount_one(const char *type, const char *dir, const char *options)
{
    mkdir(dir, 0755);
    if (mount(type, dir, type, 0, options) && errno != EBUSY)
        printf("init: mount %s on %s: %s\n", type, dir, strerror(errno));
}

static void open_console(void)
{
    int fd = open("/dev/console", O_RDWR | O_NOCTTY);

    if (fd < 0)
        return;
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
    fd = open("/dev/null", O_RDONLY);
    if (fd > STDIN_FILENO) {
        dup2(fd, STDIN_FILENO);
        close(fd);
    }
}

static bool read_text(const char *path, char *buf, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return false;
    n = read(fd, buf, size - 1);
    close(fd);
    if (n < 0)
        return false;
    buf[n] = '\0';
    buf[strcspn(buf, "\n")] = '\0';
    return true;
}

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok;

    if (fd < 0)
        return false;
    ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return ok;
}

static bool attribute_is(const char *bdf, const char *attribute, const char *wanted)
{
    char path[256], value[32];

    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", bdf, attribute);
    return read_text(path, value, sizeof(value)) && !strcmp(value, wanted);
}

static bool bind_vfio_pci(const char *bdf)
{
    char path[256], driver[256];
    ssize_t n;

    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override", bdf);
    if (!write_text(path, "vfio-pci") || !write_text("/sys/bus/pci/drivers_probe", bdf))
        return false;
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", bdf);
    n = readlink(path, driver, sizeof(driver) - 1);
    if (n < 0)
        return false;
    driver[n] = '\0';
    return !strcmp(strrchr(driver, '/') ? strrchr(driver, '/') + 1 : driver, "vfio-pci");
}

static void bind_edus(void)
{
    struct dirent **names;
    /* alphasort() compares with strcoll(), which in the C locale is PCI order */
    int n = scandir("/sys/bus/pci/devices", &names, NULL, alphasort);

    for (int i = 0; i < n; i++) {
        const char *bdf = names[i]->d_name;

        if (n_edus < MAX_EDU && strlen(bdf) < BDF_SIZE &&
            attribute_is(bdf, "vendor", EDU_VENDOR) &&
            attribute_is(bdf, "device", EDU_DEVICE)) {
            bool bound = bind_vfio_pci(bdf);

            mark("EDU %d %s %s", n_edus, bdf, bound ? "bound" : "unbound");
            strcpy(edus[n_edus++], bdf);
        }
        free(names[i]);
    }
    if (n >= 0)
        free(names);
}

/* Replaces each @EDUk@ in word; false if there is no k-th edu device or no room. */
static bool substitute(const char *word, char *out, size_t size)
{
    size_t used = 0;

    while (*word) {
        int k, end = 0;
        int n;

        if (sscanf(word, "@EDU%d@%n", &k, &end) == 1 && end) {
            if (k < 0 || k >= n_edus)
                return false;
            n = snprintf(out + used, size - used, "%s", edus[k]);
            word += end;
        } else {
            n = snprintf(out + used, size - used, "%c", *word++);
        }
        if (n < 0 || (size_t)n >= size - used)
            return false;
        used += n;
    }
    out[used] = '\0';
    return true;
}

static void dump_iort(int n)
{
    FILE *f = fopen("/sys/firmware/acpi/tables/IORT", "r");
    int c, column = 0;

    if (!f) {
        mark("END %d error=no IORT: %s", n, strerror(errno));
        return;
    }
    while ((c = getc(f)) != EOF) {
        printf("%02x", c);
        if (++column % 32 == 0)
            printf("\n");
    }
    fclose(f);
    mark("END %d exit=0", n);
}

static void __attribute__((noreturn)) run_child(char **words)
{
    int i = 0;

    setsid();
    signal(SIGPIPE, SIG_DFL);
    for (; words[i + 1] && strchr(words[i], '=') && words[i][0] != '/'; i++)
        putenv(words[i]);
    execvp(words[i], &words[i]);
    fprintf(stderr, "init: %s: %s\n", words[i], strerror(errno));
    _exit(127);
}

static void run_command(int n, char *line)
{
    static char expanded[MAX_LINE];
    char *words[MAX_WORDS + 1], *save = NULL;
    int n_words = 0, status;
    pid_t pid;

    mark("BEGIN %d %s", n, line);
    if (!substitute(line, expanded, sizeof(expanded))) {
        mark("END %d error=no such edu device", n);
        return;
    }
    for (char *word = strtok_r(expanded, " \t", &save); word;
         word = strtok_r(NULL, " \t", &save)) {
        if (n_words == MAX_WORDS) {
            mark("END %d error=too many words", n);
            return;
        }
        words[n_words++] = word;
    }
    words[n_words] = NULL;
    if (!strcmp(words[0], "dump-iort")) {
        dump_iort(n);
        return;
    }

    pid = fork();
    if (pid == 0)
        run_child(words);
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        mark("END %d error=%s", n, strerror(errno));
        return;
    }
    /* What it left behind must not write into the next command's output. */
    kill(-pid, SIGKILL);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    if (WIFSIGNALED(status))
        mark("END %d signal=%d", n, WTERMSIG(status));
    else
        mark("END %d exit=%d", n, WEXITSTATUS(status));
}

static void run_list(void)
{
    FILE *f = fopen("/run-list", "re");
    char line[MAX_LINE];
    int n = 0;

    if (!f) {
        printf("init: /run-list: %s\n", strerror(errno));
        return;
    }
    while (fgets(line, sizeof(line), f)) {
        char *start = line + strspn(line, " \t");

        start[strcspn(start, "\n")] = '\0';
        if (*start && *start != '#')
            run_command(++n, start);
    }
    fclose(f);
}

static void dump_kernel_log(void)
{
    int size = klogctl(SYSLOG_ACTION_SIZE_BUFFER, NULL, 0);
    char *log = size > 0 ? malloc(size + 1) : NULL, *save = NULL;
    int n = log ? klogctl(SYSLOG_ACTION_READ_ALL, log, size) : -1;

    if (n < 0) {
        /* No closing marker: merge-tap must not take an unread log for a clean one. */
        printf("init: kernel log: %s\n", strerror(errno));
        free(log);
        return;
    }
    log[n] = '\0';
    mark("KMSG BEGIN");
    for (char *line = strtok_r(log, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        int level;

        if (sscanf(line, "<%d>", &level) == 1 && (level & 7) <= LEVEL_WARNING)
            printf("%s\n", strchr(line, '>') + 1);
    }
    mark("KMSG END");
    free(log);
}

int main(void)
{
    mkdir("/dev", 0755);
    mount_one("devtmpfs", "/dev", NULL);
    open_console();
    mount_one("proc", "/proc", NULL);
    mount_one("sysfs", "/sys", NULL);
    mount_one("tmpfs", "/tmp", "mode=1777");
    mount_one("tmpfs", "/run", "mode=755");
    mkdir("/dev/shm", 0755);
    mount_one("tmpfs", "/dev/shm", "mode=1777");
    mount_one("debugfs", "/sys/kernel/debug", NULL);

    klogctl(SYSLOG_ACTION_CONSOLE_LEVEL, NULL, 1);
    setenv("PATH", "/bin", 1);
    setenv("HOME", "/", 1);
    setenv("LD_LIBRARY_PATH", "/lib", 1);
    setenv("G_DEBUG", "fatal-warnings", 1);
    signal(SIGPIPE, SIG_IGN);

    mark("BOOT");
    bind_edus();
    run_list();
    dump_kernel_log();
    mark("DONE");
    sync();
    reboot(RB_POWER_OFF);
    /* Still here: end as a panic, which panic=-1 and -no-reboot turn into QEMU's exit. */
    return 1;
}
