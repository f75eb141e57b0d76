/* SPDX-License-Identifier: MIT
 *
 * The command line, and the order in which a VM comes up. See README.md.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "vmm/console.h"
#include "vmm/loop.h"
#include "vmm/pci.h"
#include "vmm/serial.h"

#define MEMORY_MIN (16 * MIB)
#define MEMORY_MAX (4096 * GIB)

static const char usage[] =
    "usage: vmm run --kernel F [--initrd F] [--append S] [--memory M] [--cpus N]\n"
    "               [--module F:NAME]... [--hvc] [--rng] [--disk F[,ro]]... [--pci]\n"
    "       vmm container --kernel F --initrd F [--memory M] [--cpus N]\n"
    "               [--module F:NAME]... [--append S] [--log F]\n"
    "               [--report FD]\n";

static struct vm main_vm;

static const char *main_value(char **argv, int *i)
{
    if (!argv[*i + 1])
        fatal(EXIT_USAGE, "%s needs a value", argv[*i]);
    return argv[++*i];
}

/* "512" is MiB; k, m and g are as written. */
static uint64_t main_memory(const char *text)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    unsigned shift = 20;
    if (*end) {
        switch (*end++) {
        case 'k':
        case 'K':
            shift = 10;
            break;
        case 'm':
        case 'M':
            shift = 20;
            break;
        case 'g':
        case 'G':
            shift = 30;
            break;
        default:
            n = 0;
            break;
        }
    }
    if (errno || *end || *text < '0' || *text > '9' || n > MEMORY_MAX >> shift ||
        n << shift < MEMORY_MIN)
        fatal(EXIT_USAGE, "--memory %s: want 16M to 4096G", text);
    return (n << shift) & ~(2 * MIB - 1);
}

static unsigned main_cpus(const char *text)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*end || *text < '0' || *text > '9' || n < 1 || n > MAX_CPUS)
        fatal(EXIT_USAGE, "--cpus %s: want 1 to %d", text, MAX_CPUS);
    return n;
}

static int main_fd(const char *text)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*end || *text < '0' || *text > '9' || n < 3 || n > 1 << 20 || fcntl(n, F_GETFD) < 0)
        fatal(EXIT_USAGE, "--report %s: want an open descriptor", text);
    return n;
}

static void main_module(struct vm_options *opt, const char *path, const char *name)
{
    if (opt->nmodules == MAX_MODULES)
        fatal(EXIT_USAGE, "more than %d modules", MAX_MODULES);
    opt->modules[opt->nmodules++] = (struct vm_module){.path = path, .name = name};
}

static void main_module_option(struct vm_options *opt, const char *text)
{
    char *copy = strdup(text);
    char *colon = copy ? strrchr(copy, ':') : NULL;
    if (!colon || !colon[1] || colon == copy)
        fatal(EXIT_USAGE, "--module %s: want FILE:NAME", text);
    *colon = 0;
    main_module(opt, copy, colon + 1);
}

static void main_disk(struct vm_options *opt, const char *text)
{
    struct vm_disk *disk = &opt->disks[opt->ndisks];
    size_t len = strlen(text);

    if (opt->ndisks == MAX_DISKS)
        fatal(EXIT_USAGE, "more than %d disks", MAX_DISKS);
    disk->readonly = len > 3 && strcmp(text + len - 3, ",ro") == 0;
    disk->path = strndup(text, disk->readonly ? len - 3 : len);
    if (!disk->path || !*disk->path)
        fatal(EXIT_USAGE, "--disk %s: want FILE or FILE,ro", text);
    opt->ndisks++;
}

static void main_append(struct vm_options *opt, const char *text)
{
    size_t have = strlen(opt->cmdline), more = strlen(text);
    if (have + more + 2 > MAX_CMDLINE)
        fatal(EXIT_USAGE, "the kernel's command line is longer than %d bytes", MAX_CMDLINE - 1);
    if (have)
        opt->cmdline[have++] = ' ';
    memcpy(opt->cmdline + have, text, more + 1);
}

/* What only `run` has. */
static bool main_run_option(struct vm_options *opt, char **argv, int *i)
{
    if (!strcmp(argv[*i], "--hvc"))
        opt->hvc = true;
    else if (!strcmp(argv[*i], "--pci"))
        opt->pci = true;
    else if (!strcmp(argv[*i], "--rng"))
        opt->rng = true;
    else if (!strcmp(argv[*i], "--disk"))
        main_disk(opt, main_value(argv, i));
    else
        return false;
    return true;
}

/* What only `container` has. */
static bool main_container_option(struct vm_options *opt, char **argv, int *i)
{
    if (!strcmp(argv[*i], "--log"))
        opt->log = main_value(argv, i);
    else if (!strcmp(argv[*i], "--report"))
        report_init(&main_vm.report, main_fd(main_value(argv, i)));
    else
        return false;
    return true;
}

static void main_option(struct vm_options *opt, char **argv, int *i)
{
    if (!strcmp(argv[*i], "--kernel"))
        opt->kernel = main_value(argv, i);
    else if (!strcmp(argv[*i], "--initrd"))
        opt->initrd = main_value(argv, i);
    else if (!strcmp(argv[*i], "--append"))
        opt->append = main_value(argv, i);
    else if (!strcmp(argv[*i], "--memory"))
        opt->memory = main_memory(main_value(argv, i));
    else if (!strcmp(argv[*i], "--cpus"))
        opt->cpus = main_cpus(main_value(argv, i));
    else if (!strcmp(argv[*i], "--module"))
        main_module_option(opt, main_value(argv, i));
    else if (!(opt->container ? main_container_option(opt, argv, i)
                              : main_run_option(opt, argv, i)))
        fatal(EXIT_USAGE, "unknown option %s", argv[*i]);
}

/* The initial file system is always the first module. */
static void main_initrd(struct vm_options *opt)
{
    if (opt->nmodules == MAX_MODULES)
        fatal(EXIT_USAGE, "more than %d modules", MAX_MODULES);
    memmove(opt->modules + 1, opt->modules, opt->nmodules * sizeof *opt->modules);
    opt->modules[0] = (struct vm_module){.path = opt->initrd, .name = "initramfs"};
    opt->nmodules++;
}

static void main_options(struct vm_options *opt, char **argv)
{
    opt->cpus = 1;
    opt->container = strcmp(argv[1], "container") == 0;
    for (int i = 2; argv[i]; i++)
        main_option(opt, argv, &i);
    if (!opt->kernel)
        fatal(EXIT_USAGE, "--kernel is missing");
    if (!opt->memory)
        opt->memory = opt->container ? 64 * MIB : 256 * MIB;
    if (opt->initrd)
        main_initrd(opt);
}

/* The console's word comes first, so that --append may say otherwise; then where the devices are,
 * for a guest that reads no ACPI. */
static void main_command_line(const struct vm *vm, struct vm_options *opt)
{
    if (opt->hvc)
        main_append(opt, "console=hvc0");
    else if (opt->container ? opt->log != NULL : !opt->append)
        main_append(opt, "console=ttyS0");
    for (unsigned i = 0; i < vm->nvirtio_mmio; i++) {
        const struct virtio_place *p = &vm->virtio_mmio[i];
        char device[64];

        snprintf(device, sizeof device, "virtio_mmio.device=4K@%#llx:%u",
                 (unsigned long long)p->address, p->gsi);
        main_append(opt, device);
    }
    if (opt->append)
        main_append(opt, opt->append);
}

static int main_serial_output(const struct vm_options *opt)
{
    if (opt->hvc)
        return -1;
    if (!opt->container)
        return STDOUT_FILENO;
    int fd = open(opt->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0)
        fatal(EXIT_BAD_FILE, "%s: %s", opt->log, strerror(errno));
    return fd;
}

static void main_devices(struct vm *vm, const struct vm_options *opt)
{
    if (!opt->container || opt->log) /* writes to one that is not heard would exit all the same */
        serial_create(vm, main_serial_output(opt));
    rtc_create(vm);
    platform_create(vm);
    if (opt->pci)
        pci_host_create(vm);
    if (opt->container || opt->hvc)
        console_create(vm, opt);
    if (opt->rng)
        rng_create(vm);
    for (unsigned i = 0; i < opt->ndisks; i++)
        blk_create(vm, &opt->disks[i], i);
}

int main(int argc, char **argv)
{
    static struct vm_options opt;
    struct vm *vm = &main_vm;
    struct vm_entry entry;
    struct loop *loop;

    stop_init(vm);
    if (argc < 2 || (strcmp(argv[1], "run") && strcmp(argv[1], "container"))) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    main_options(&opt, argv);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    vm_create(vm, opt.memory, opt.cpus);
    main_devices(vm, &opt);
    main_command_line(vm, &opt);
    load_kernel(vm, &opt, acpi_write(vm), &entry);
    vcpu_create_all(vm);
    loop = loop_create(vm, &opt);
    devices_start(vm);
    vcpu_start_all(vm, &entry);
    return loop_run(loop);
}
