/* SPDX-License-Identifier: MIT
 *
 * What a program can do to the processor's own state, and what becomes of it: the program at most.
 */
#include "abi.h"
#include <linux/sched.h>
#include <setjmp.h>
#include <sys/prctl.h>
#include <time.h>
#include <ucontext.h>

#define LOW_CODE 0x40000000UL
#define LOW_STACK 0x40001ff0UL
#define CODE_32_BIT "\xb8\x14\x00\x00\x00\x0f\x05\xf4" /* mov $20, %eax; syscall; hlt */
#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002
#define ARCH_GET_GS 0x1004

/* With four levels of tables and with five. */
static const uint64_t not_canonical[] = {0x8000000000000000UL, 0xffff888000000000UL,
                                         0xffffffff80200000UL, 0xffffffffffffffffUL,
                                         0x7fffffffffffffffUL, 0x0100000000000000UL};
#define N_NOT_CANONICAL (sizeof(not_canonical) / sizeof(not_canonical[0]))

/* The child's wait status. */
static int in_child(void (*run)(unsigned long), unsigned long arg)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        run(arg);
        _exit(0);
    }
    EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid);
    return status;
}

static void low_code(const void *code, size_t n)
{
    void *p = mmap((void *)LOW_CODE, 8192, PROT_READ | PROT_WRITE | PROT_EXEC,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

    EXPECT(p != MAP_FAILED);
    memcpy(p, code, n);
}

static void jump_far(unsigned long selector)
{
    struct {
        uint32_t off;
        uint16_t sel;
    } __attribute__((packed)) to = {LOW_CODE, (uint16_t)selector};

    low_code(CODE_32_BIT, sizeof(CODE_32_BIT));
    __asm__ volatile("mov %0, %%rsp; ljmp *(%1)" ::"r"(LOW_STACK), "r"(&to) : "memory");
}

static void jump_far_kernel_stack(unsigned long selector)
{
    struct {
        uint32_t off;
        uint16_t sel;
    } __attribute__((packed)) to = {LOW_CODE, (uint16_t)selector};

    low_code(CODE_32_BIT, sizeof(CODE_32_BIT));
    __asm__ volatile("mov %0, %%rsp; ljmp *(%1)" ::"r"(0xffff888000300000UL), "r"(&to) : "memory");
}

static void call_far(unsigned long selector)
{
    struct {
        uint32_t off;
        uint16_t sel;
    } __attribute__((packed)) to = {LOW_CODE, (uint16_t)selector};

    low_code(CODE_32_BIT, sizeof(CODE_32_BIT));
    __asm__ volatile("mov %0, %%rsp; lcall *(%1)" ::"r"(LOW_STACK), "r"(&to) : "memory");
}

static void return_far(unsigned long selector)
{
    low_code(CODE_32_BIT, sizeof(CODE_32_BIT));
    __asm__ volatile(
        "mov %0, %%rsp; pushq %1; pushq %2; pushq %3; pushq %4; pushq %5; iretq" ::"r"(LOW_STACK),
        "i"(0x23L), "r"(LOW_STACK), "i"(0x202L), "r"(selector), "r"(LOW_CODE)
        : "memory");
}

/* Through every selector of both tables: 32-bit code, the kernel's, the task's, none at all. */
TEST(far_transfers_end_the_program_at_most)
{
    for (unsigned long sel = 0; sel < 0x100; sel++) {
        if ((sel & ~3UL) == 0x30) /* 64-bit user code on Linux */
            continue;
        if ((sel & ~3UL) == 0x28) /* and on Bothy */
            continue;
        EXPECT(WIFSIGNALED(in_child(jump_far, sel)));
    }
    for (unsigned long sel = 3; sel < 0x50; sel += 8) {
        EXPECT(WIFSIGNALED(in_child(jump_far_kernel_stack, sel)));
        EXPECT(WIFSIGNALED(in_child(call_far, sel)));
        EXPECT(WIFSIGNALED(in_child(return_far, sel)));
    }
}

static void do_sysenter(unsigned long arg)
{
    low_code("\x0f\x34\xf4", 3);
    __asm__ volatile("mov %0, %%rsp; mov $1, %%eax; mov %0, %%rbp; jmp *%1" ::"r"(LOW_STACK),
                     "r"(LOW_CODE)
                     : "memory");
}

TEST(sysenter_ends_the_program_at_most)
{
    int status = in_child(do_sysenter, 0);

    EXPECT(WIFSIGNALED(status) || WIFEXITED(status));
}

/* CLONE_SETTLS by clone(2), whose child ends at once. */
static long clone_tls(uint64_t tls)
{
    long r;
    register uint64_t r10 __asm__("r10") = 0, r8 __asm__("r8") = tls;

    __asm__ volatile("syscall\n"
                     "test %%rax, %%rax\n"
                     "jnz 1f\n"
                     "mov $60, %%eax\n"
                     "mov $7, %%edi\n"
                     "syscall\n"
                     "1:"
                     : "=a"(r)
                     : "a"((long)SYS_clone), "D"((long)(CLONE_SETTLS | SIGCHLD)), "S"(0L), "d"(0L),
                       "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return r;
}

static long clone3_tls(uint64_t tls)
{
    struct clone_args a = {.flags = CLONE_SETTLS, .exit_signal = SIGCHLD, .tls = tls};
    long r;

    __asm__ volatile("syscall\n"
                     "test %%rax, %%rax\n"
                     "jnz 1f\n"
                     "mov $60, %%eax\n"
                     "mov $7, %%edi\n"
                     "syscall\n"
                     "1:"
                     : "=a"(r)
                     : "a"((long)SYS_clone3), "D"(&a), "S"(sizeof(a))
                     : "rcx", "r11", "memory");
    return r;
}

TEST(bases_outside_the_user_half_are_refused)
{
    unsigned long gs = 1;
    int status;
    pid_t pid;

    for (unsigned i = 0; i < N_NOT_CANONICAL; i++) {
        EXPECT(clone_tls(not_canonical[i]) == -EPERM);
        EXPECT(clone3_tls(not_canonical[i]) == -EPERM);
        EXPECT_ERR(syscall(SYS_arch_prctl, ARCH_SET_FS, not_canonical[i]), EPERM);
        EXPECT_ERR(syscall(SYS_arch_prctl, ARCH_SET_GS, not_canonical[i]), EPERM);
    }
    EXPECT_ERR(waitpid(-1, NULL, 0), ECHILD);
    EXPECT((pid = (pid_t)clone_tls(0x7fffffffefffUL)) > 0 && waitpid(pid, &status, 0) == pid);
    EXPECT(WEXITSTATUS(status) == 7);
    /* The upper half of an int argument means nothing. */
    EXPECT(syscall(SYS_arch_prctl, 1UL << 32 | ARCH_SET_GS, 0x1234000UL) == 0);
    EXPECT(syscall(SYS_arch_prctl, ARCH_GET_GS, &gs) == 0 && gs == 0x1234000);
}

static void set_ac(void)
{
    __asm__ volatile("pushfq; orq $0x40000, (%%rsp); popfq" ::: "memory", "cc");
}

static uint64_t flags_now(void)
{
    uint64_t v;

    __asm__ volatile("pushfq; pop %0" : "=r"(v)::"memory");
    return v;
}

/* AC is the program's own; that the kernel runs without it is the debug build's assertion. */
TEST(ac_stays_across_faults_and_calls)
{
    char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    volatile char *q = p;

    EXPECT(p != MAP_FAILED);
    set_ac();
    for (int i = 0; i < 256; i++)
        q[i * 4096] = 1;
    syscall(SYS_getpid);
    syscall(SYS_read, -1, p, 1);
    syscall(SYS_pipe2, p + 4096 * 3, 0);
    sched_yield();
    EXPECT(flags_now() & 0x40000);
    __asm__ volatile("pushfq; andq $~0x40000, (%%rsp); popfq" ::: "memory", "cc");
}

static void handler_none(int sig)
{
}

static uint32_t mxcsr_now(void)
{
    uint32_t v;

    __asm__ volatile("stmxcsr %0" : "=m"(v));
    return v;
}

/* Flush to zero and denormals are zero: what -ffast-math sets. */
TEST(signals_keep_every_bit_of_mxcsr)
{
    struct {
        unsigned char b[512];
    } __attribute__((aligned(16))) fx;
    uint32_t mask, all;

    __asm__ volatile("fxsave64 %0" : "=m"(fx));
    memcpy(&mask, fx.b + 28, 4);
    all = (mask ? mask : 0xffbf) & ~0x3fU; /* without the sticky ones */
    signal(SIGUSR1, handler_none);
    __asm__ volatile("ldmxcsr %0" ::"m"(all));
    raise(SIGUSR1);
    EXPECT(mxcsr_now() == all);
}

static uint64_t bad_word;

static void spoil_rip(int sig, siginfo_t *info, void *context)
{
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] = (greg_t)bad_word;
}

static void spoil_mxcsr(int sig, siginfo_t *info, void *context)
{
    ((ucontext_t *)context)->uc_mcontext.fpregs->mxcsr = (uint32_t)bad_word;
}

static void spoil_header(int sig, siginfo_t *info, void *context)
{
    uint64_t *header = (uint64_t *)((char *)((ucontext_t *)context)->uc_mcontext.fpregs + 512);

    header[0] = header[1] = header[2] = bad_word; /* XSTATE_BV, XCOMP_BV, reserved */
}

static void return_spoilt(void (*how)(int, siginfo_t *, void *), uint64_t word)
{
    struct sigaction sa = {.sa_sigaction = how, .sa_flags = SA_SIGINFO};

    bad_word = word;
    sigaction(SIGUSR1, &sa, NULL);
    raise(SIGUSR1);
}

static void return_to(unsigned long rip)
{
    return_spoilt(spoil_rip, rip);
}

static void return_with_mxcsr(unsigned long mxcsr)
{
    return_spoilt(spoil_mxcsr, mxcsr);
}

static void return_with_header(unsigned long word)
{
    return_spoilt(spoil_header, word);
}

TEST(sigreturn_with_a_spoilt_frame_ends_the_program)
{
    int status;

    for (unsigned i = 0; i < N_NOT_CANONICAL; i++) {
        status = in_child(return_to, not_canonical[i]);
        EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    }
    /* Linux lets the processor judge these, and the emulator's is lenient. */
    status = in_child(return_with_mxcsr, 0xffff1f80);
    EXPECT(!status || (WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV));
    status = in_child(return_with_header, ~0UL);
    EXPECT(!status || (WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV));
}

static sigjmp_buf spoilt_back;

static void back_from_spoilt(int sig)
{
    siglongjmp(spoilt_back, 1);
}

/* A program that goes on after its frame was refused, and is switched out and in again. */
static void outlive_spoilt(unsigned long word)
{
    struct timespec ms = {0, 1000000};

    signal(SIGSEGV, back_from_spoilt);
    for (int i = 0; i < 20; i++) {
        if (!sigsetjmp(spoilt_back, 1))
            return_with_header(word);
        nanosleep(&ms, NULL);
    }
}

TEST(a_refused_frame_leaves_nothing_behind)
{
    int status = in_child(outlive_spoilt, 1);

    EXPECT(status == 0);
    status = in_child(outlive_spoilt, 1UL << 62);
    EXPECT(status == 0);
}

/* ------------------------------------------------------------- where a frame's state comes from */

#define FX_SIZE 512
#define FX_SW 464   /* of the kernel's words in it: a magic, the sizes */
#define FX_XMM0 160 /* of an FXSAVE area */
#define STATE_MAX 4096
#define STATE_SPLIT (4096 - 256) /* the kernel's words, and the end, lie on the second page */

static char *state_at;   /* where the handler puts the state, and has the frame point to */
static int state_file;   /* written to instead, so that no page is mapped yet; -1: none */
static bool state_magic; /* keep the mark that says that there is more than the legacy part */

static void state_move(int sig, siginfo_t *info, void *context)
{
    mcontext_t *mc = &((ucontext_t *)context)->uc_mcontext;
    static char copy[STATE_MAX];
    uint32_t magic, size, xmm0 = 0x12345678;

    memcpy(&magic, (char *)mc->fpregs + FX_SW, 4);
    memcpy(&size, (char *)mc->fpregs + FX_SW + 4, 4);
    memcpy(copy, mc->fpregs, magic ? size : FX_SIZE);
    memcpy(copy + FX_XMM0, &xmm0, 4);
    if (!state_magic)
        memset(copy + FX_SW, 0, 4);
    if (state_file >= 0)
        EXPECT(pwrite(state_file, copy, sizeof(copy), STATE_SPLIT) == sizeof(copy));
    else
        memcpy(state_at, copy, sizeof(copy));
    mc->fpregs = (void *)state_at;
}

/* What xmm0 holds after a handler has moved its frame's state. */
static uint32_t state_after(char *at, int file, bool magic)
{
    struct sigaction sa = {.sa_sigaction = state_move, .sa_flags = SA_SIGINFO};
    long pid = getpid(), nr = SYS_kill, ret;
    uint32_t xmm0 = 0;

    state_at = at;
    state_file = file;
    state_magic = magic;
    sigaction(SIGUSR1, &sa, NULL);
    __asm__ volatile("movd %[in], %%xmm0\n"
                     "syscall\n"
                     "movd %%xmm0, %[out]"
                     : [out] "=r"(xmm0), "=a"(ret)
                     : [in] "r"(xmm0), "a"(nr), "D"(pid), "S"((long)SIGUSR1)
                     : "rcx", "r11", "xmm0", "memory");
    return xmm0;
}

TEST(a_frames_state_is_taken_from_where_the_frame_says)
{
    static char here[STATE_MAX] __attribute__((aligned(64)));

    EXPECT(state_after(here, -1, true) == 0x12345678);
    EXPECT(state_after(here, -1, false) == 0x12345678); /* the legacy part alone */
}

/* The file's first page is an area of its own: a look at the rest does not bring it in. */
static char *state_map(int file, int first_prot)
{
    char *p = mmap(NULL, 3 * 4096, PROT_READ, MAP_SHARED, file, 0);

    EXPECT(p != MAP_FAILED && ftruncate(file, 3 * 4096) == 0);
    EXPECT(mmap(p, 4096, first_prot, MAP_SHARED | MAP_FIXED, file, 0) == p);
    return p;
}

/* The state lies across the end of a page, and neither is mapped when it is loaded. */
TEST(a_frames_state_is_faulted_in)
{
    int file = memfd_create("state", 0);
    char *p = state_map(file, PROT_READ | PROT_WRITE);

    EXPECT(state_after(p + STATE_SPLIT, file, true) == 0x12345678);
    munmap(p, 3 * 4096);
    close(file);
}

static void state_unreadable(unsigned long with_magic)
{
    int file = memfd_create("state", 0);

    (void)state_after(state_map(file, PROT_NONE) + STATE_SPLIT, file, with_magic);
}

TEST(a_state_whose_registers_alone_are_not_readable_ends_the_program)
{
    for (unsigned long with_magic = 0; with_magic < 2; with_magic++) {
        int status = in_child(state_unreadable, with_magic);

        EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    }
}

static void state_in(unsigned long at)
{
    (void)state_after((char *)at, memfd_create("state", 0), true);
}

static void state_here(unsigned long at)
{
    (void)state_after((char *)at, -1, true);
}

TEST(a_state_that_is_not_aligned_ends_the_program)
{
    static char here[STATE_MAX + 64] __attribute__((aligned(64)));
    int status = in_child(state_here, (unsigned long)here + 8);

    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

TEST(a_state_that_is_not_readable_ends_the_program)
{
    char *p = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const unsigned long places[] = {(unsigned long)p, 64, -4096UL, 0x7ffffffff000UL - 64};

    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        int status = in_child(state_in, places[i]);

        EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    }
}

/* ------------------------------------------------------------- what a SIGFPE tells */

static sigjmp_buf float_jump;
static volatile int float_code;

static void on_float(int sig, siginfo_t *info, void *context)
{
    float_code = info->si_code;
    siglongjmp(float_jump, 1);
}

/* x / y as a float, with all exceptions but these masked. The signal's code, 0: none. */
static int divide(double x, double y, unsigned unmasked)
{
    uint16_t control = (uint16_t)(0x37f & ~unmasked);
    float f;

    float_code = 0;
    if (sigsetjmp(float_jump, 1) == 0)
        __asm__ volatile("fninit; fldcw %1; fldl %2; fdivl %3; fstps %0; fwait; fninit"
                         : "=m"(f)
                         : "m"(control), "m"(x), "m"(y));
    return float_code;
}

TEST(a_floating_point_signal_tells_its_cause)
{
    struct sigaction sa = {.sa_sigaction = on_float, .sa_flags = SA_SIGINFO};

    sigaction(SIGFPE, &sa, NULL);
    EXPECT(divide(1, 0, 0) == 0);
    EXPECT(divide(0, 0, 1) == FPE_FLTINV);
    EXPECT(divide(1, 0, 4) == FPE_FLTDIV && divide(1, 0, 63) == FPE_FLTDIV);
    EXPECT(divide(1e300, 1, 8) == FPE_FLTOVF);
    EXPECT(divide(1e-300, 1, 16) == FPE_FLTUND);
    EXPECT(divide(1, 3, 32) == FPE_FLTRES);
    EXPECT(divide(1, 3, 16) == 0);
}

/* ----------------------------------------------------------- registers beside others' */

/* Whether programs may use the registers' upper halves: OSXSAVE, AVX, and XCR0 has them on. */
static bool ymm_usable(void)
{
    uint32_t a = 1, b, c = 0, d;

    __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    if ((c >> 27 & 3) != 3)
        return false;
    __asm__("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return (a & 6) == 6;
}

/* Loads the vector registers, lets the other process run (a byte to it, one from it), stores them.
 */
#define VECTORS_ACROSS(move, reg, width)                                                       \
    __asm__ volatile(                                                                          \
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n" move " \\n*" width "(%[p]), %%" reg   \
        "\\n\n.endr\n"                                                                         \
        "mov %[nr_write], %%eax; mov %[to], %%edi; mov %[c], %%rsi; mov $1, %%edx; syscall\n"  \
        "mov %[nr_read], %%eax; mov %[from], %%edi; mov %[c], %%rsi; mov $1, %%edx; syscall\n" \
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n" move " %%" reg "\\n, \\n*" width      \
        "(%[p])\n.endr\n"                                                                      \
        :                                                                                      \
        : [p] "r"(values), [to] "r"(to), [from] "r"(from), [c] "r"(&byte),                     \
          [nr_write] "i"(SYS_write), [nr_read] "i"(SYS_read)                                   \
        : "rax", "rcx", "rdx", "rsi", "rdi", "r11", "memory", "xmm0", "xmm1", "xmm2", "xmm3",  \
          "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",  \
          "xmm14", "xmm15")

/* Whether 16 registers with this process's own pattern come through 200 switches to the other. */
static bool vectors_keep(int to, int from, uint64_t mark)
{
    uint64_t values[16 * 4], want[16 * 4];
    bool upper = ymm_usable();
    char byte = 0;

    for (unsigned i = 0; i < 16 * 4; i++)
        values[i] = want[i] = mark + i;
    for (int i = 0; i < 200 && memcmp(values, want, sizeof(want)) == 0; i++)
        if (upper)
            VECTORS_ACROSS("vmovdqu", "ymm", "32");
        else
            VECTORS_ACROSS("movdqu", "xmm", "16");
    return memcmp(values, want, sizeof(want)) == 0;
}

TEST(programs_keep_their_vector_registers_beside_each_other)
{
    int there[2], back[2], status;

    EXPECT(pipe(there) == 0 && pipe(back) == 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(!vectors_keep(back[1], there[0], 0x2222222200000000));
    EXPECT(vectors_keep(there[1], back[0], 0x1111111100000000));
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
}
