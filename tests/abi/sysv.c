/* SPDX-License-Identifier: MIT
 *
 * System V shared memory and message queues, their namespaces and files in /proc; sysv_sem.c has
 * semaphores.
 */
#include "sysv.h"

#include <limits.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

static void become(uid_t id)
{
    EXPECT(syscall(SYS_setgroups, 0, NULL) == 0);
    EXPECT(setresgid(id, id, id) == 0 && setresuid(id, id, id) == 0);
}

/* ---- shared memory ---- */

static struct shmid_ds shm_state(int id)
{
    struct shmid_ds ds;

    EXPECT(shmctl(id, IPC_STAT, &ds) == 0);
    return ds;
}

TEST(keys_find_what_they_made)
{
    own_ipc();
    EXPECT_ERR(shmget(77, 4096, 0600), ENOENT);
    int id = shmget(77, 5000, IPC_CREAT | 0600);
    EXPECT(id >= 0 && shmget(77, 0, 0) == id && shmget(77, 5000, IPC_CREAT | 0600) == id);
    EXPECT_ERR(shmget(77, 5000, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    EXPECT_ERR(shmget(77, 5001, 0), EINVAL);
    EXPECT_ERR(shmget(78, 0, IPC_CREAT | 0600), EINVAL);
    EXPECT_ERR(shmget(78, ~0UL, IPC_CREAT | 0600), EINVAL);
    int private = shmget(IPC_PRIVATE, 1, 0600);
    EXPECT(private >= 0 && private != id && shmget(IPC_PRIVATE, 1, 0600) != private);
    EXPECT_ERR(shmctl(-1, IPC_RMID, NULL), EINVAL);
    EXPECT_ERR(shmctl(0x7fffffff, IPC_RMID, NULL), EINVAL);
    EXPECT(shmctl(id, IPC_RMID, NULL) == 0);
    EXPECT_ERR(shmctl(id, IPC_RMID, NULL), EINVAL);
    int again = shmget(77, 5000, IPC_CREAT | 0600);
    EXPECT(again >= 0 && again != id); /* the old number finds nothing */
}

TEST(processes_share_a_segment)
{
    own_ipc();
    int id = shmget(IPC_PRIVATE, 10000, IPC_CREAT | 0600);
    volatile char *p = shmat(id, NULL, 0), *q = shmat(id, NULL, 0);
    EXPECT((void *)p != (void *)-1 && (void *)q != (void *)-1 && p != q);
    EXPECT(p[9999] == 0);
    p[5000] = 7;
    EXPECT(q[5000] == 7 && shm_state(id).shm_nattch == 2);
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT(shm_state(id).shm_nattch == 4 && p[5000] == 7);
        q[1] = 9;
        EXPECT(shmdt((void *)q) == 0);
        EXPECT_ERR(shmdt((void *)q), EINVAL);
        _exit(0);
    }
    EXPECT(status_of(pid) == 0 && p[1] == 9);
    struct shmid_ds ds = shm_state(id);
    EXPECT(ds.shm_nattch == 2 && ds.shm_segsz == 10000 && ds.shm_cpid == getpid());
    EXPECT(ds.shm_lpid == pid && ds.shm_atime > 0 && ds.shm_dtime > 0 && ds.shm_ctime > 0);
    EXPECT(shmdt((void *)p) == 0 && shmdt((void *)q) == 0);
    EXPECT(shm_state(id).shm_nattch == 0);
    EXPECT_ERR(shmdt((void *)((char *)p + 1)), EINVAL);
}

TEST(a_removed_segment_lives_while_it_is_attached)
{
    own_ipc();
    int id = shmget(99, 4096, IPC_CREAT | 0600);
    char *p = shmat(id, NULL, 0);
    EXPECT(p != (void *)-1 && shmctl(id, IPC_RMID, NULL) == 0);
    p[0] = 'x';
    struct shmid_ds ds = shm_state(id);
    EXPECT(ds.shm_perm.mode & SHM_DEST && ds.shm_perm.__key == IPC_PRIVATE);
    EXPECT_ERR(shmget(99, 4096, 0), ENOENT);
    char *q = shmat(id, NULL, 0); /* by its number it is still there */
    EXPECT(q != (void *)-1 && q[0] == 'x');
    EXPECT(shmdt(q) == 0 && shmdt(p) == 0);
    EXPECT_ERR(shmat(id, NULL, 0) == (void *)-1 ? -1 : 0, EINVAL);
    EXPECT_ERR(shmctl(id, IPC_STAT, &ds), EINVAL);
}

TEST(segments_go_where_they_are_told)
{
    own_ipc();
    int id = shmget(IPC_PRIVATE, 8192, IPC_CREAT | 0700);
    char *space = mmap(NULL, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(space != MAP_FAILED);
    EXPECT(shmat(id, space + 4096, 0) == (void *)-1 && errno == EINVAL); /* taken */
    EXPECT(shmat(id, space + 4097, SHM_REMAP) == (void *)-1 && errno == EINVAL);
    EXPECT(shmat(id, NULL, SHM_REMAP) == (void *)-1 && errno == EINVAL);
    EXPECT(shmat(id, (void *)-8192, 0) == (void *)-1 && errno == EINVAL);
    EXPECT(shmat(id, space + 4097, SHM_REMAP | SHM_RND) == space + 4096);
    space[4096] = 1;
    space[12287] = 2;
    EXPECT(munmap(space + 8192, 4096) == 0 && shm_state(id).shm_nattch == 1);
    EXPECT(shmdt(space + 4096) == 0 && shm_state(id).shm_nattch == 0);
    const char *r = shmat(id, NULL, SHM_RDONLY);
    EXPECT(r != (void *)-1 && r[0] == 1 && r[8191] == 2);
    EXPECT_ERR(mprotect((void *)r, 4096, PROT_READ | PROT_WRITE), EACCES);
    /* A split mapping counts twice, and goes as one. */
    char *s = shmat(id, NULL, 0);
    EXPECT(mprotect(s, 4096, PROT_READ) == 0 && shm_state(id).shm_nattch == 3);
    EXPECT(shmdt(s) == 0 && shm_state(id).shm_nattch == 1);
}

TEST(rights_of_a_segment)
{
    own_ipc();
    int id = shmget(5, 4096, IPC_CREAT | 0640);
    pid_t pid = fork();
    if (pid == 0) {
        become(1000);
        EXPECT(shmat(id, NULL, 0) == (void *)-1 && errno == EACCES);
        EXPECT(shmat(id, NULL, SHM_RDONLY) == (void *)-1 && errno == EACCES);
        EXPECT_ERR(shmget(5, 4096, 0600), EACCES);
        EXPECT(shmget(5, 4096, 0) == id);
        EXPECT_ERR(shmctl(id, IPC_RMID, NULL), EPERM);
        struct shmid_ds ds;
        EXPECT_ERR(shmctl(id, IPC_STAT, &ds), EACCES);
        _exit(0);
    }
    EXPECT(status_of(pid) == 0);
    struct shmid_ds ds = shm_state(id);
    ds.shm_perm.uid = 1000;
    ds.shm_perm.mode = 0404;
    EXPECT(shmctl(id, IPC_SET, &ds) == 0);
    pid = fork();
    if (pid == 0) {
        become(1000);
        EXPECT(shmat(id, NULL, SHM_RDONLY) != (void *)-1);
        EXPECT(shmat(id, NULL, 0) == (void *)-1 && errno == EACCES);
        EXPECT(shmctl(id, IPC_RMID, NULL) == 0);
        _exit(0);
    }
    EXPECT(status_of(pid) == 0);
    EXPECT_ERR(shmctl(id, IPC_STAT, &ds), EINVAL);
}

TEST(segments_end_with_their_namespace)
{
    own_ipc();
    int id = shmget(6, 4096, IPC_CREAT | 0600);
    char *p = shmat(id, NULL, 0);
    p[0] = 'k';
    own_ipc();
    EXPECT_ERR(shmget(6, 4096, 0), ENOENT);
    EXPECT(p[0] == 'k'); /* what is mapped stays */
    EXPECT(shmdt(p) == 0);
}

/* ---- messages ---- */

struct text {
    long type;
    char text[64];
};

static int msg_put(int id, long type, const char *s, int flags)
{
    struct text m = {.type = type};

    strcpy(m.text, s);
    return msgsnd(id, &m, strlen(s), flags);
}

TEST(messages_are_taken_by_type)
{
    own_ipc();
    struct text m;
    int id = msgget(IPC_PRIVATE, 0600);
    EXPECT(id >= 0);
    EXPECT_ERR(msgrcv(id, &m, 64, 0, IPC_NOWAIT), ENOMSG);
    EXPECT(msg_put(id, 3, "three", 0) == 0 && msg_put(id, 1, "one", 0) == 0);
    EXPECT(msg_put(id, 2, "two", 0) == 0 && msg_put(id, 1, "uno", 0) == 0);
    EXPECT_ERR(msg_put(id, 0, "none", 0), EINVAL);
    EXPECT_ERR(msgsnd(id, &m, 8193, 0), EINVAL);
    EXPECT_ERR(msgsnd(id, &m, (size_t)-1, 0), EINVAL);
    EXPECT(msgrcv(id, &m, 64, -2, 0) == 3 && m.type == 1 && memcmp(m.text, "one", 3) == 0);
    EXPECT(msgrcv(id, &m, 64, 3, MSG_EXCEPT) == 3 && m.type == 2);
    EXPECT_ERR(msgrcv(id, &m, 64, 7, IPC_NOWAIT), ENOMSG);
    EXPECT_ERR(msgrcv(id, &m, 2, 0, 0), E2BIG);
    EXPECT(msgrcv(id, &m, 2, 0, MSG_NOERROR) == 2 && memcmp(m.text, "th", 2) == 0);
    struct msqid_ds ds;
    EXPECT(msgctl(id, IPC_STAT, &ds) == 0 && ds.msg_qnum == 1 && ds.__msg_cbytes == 3);
    EXPECT(ds.msg_qbytes == 16384 && ds.msg_lspid == getpid() && ds.msg_lrpid == getpid());
    EXPECT(msgrcv(id, &m, 0, LONG_MIN, MSG_NOERROR) == 0);
    EXPECT(msg_put(id, 9, "", 0) == 0 && msgrcv(id, &m, 64, 0, 0) == 0 && m.type == 9);
}

TEST(a_full_queue_holds_senders_up)
{
    own_ipc();
    int id = msgget(IPC_PRIVATE, 0600);
    static struct {
        long type;
        char text[8192];
    } big = {1, ""};
    EXPECT(msgsnd(id, &big, 8192, 0) == 0 && msgsnd(id, &big, 8192, 0) == 0);
    EXPECT_ERR(msgsnd(id, &big, 1, IPC_NOWAIT), EAGAIN);
    pid_t pid = fork();
    if (pid == 0)
        _exit(msgsnd(id, &big, 5, 0) != 0);
    until_process_asleep(pid);
    EXPECT(msgrcv(id, &big, 8192, 0, 0) == 8192 && status_of(pid) == 0);
    EXPECT(msgrcv(id, &big, 8192, 0, 0) == 8192 && msgrcv(id, &big, 8192, 0, 0) == 5);
    struct msqid_ds ds;
    EXPECT(msgctl(id, IPC_STAT, &ds) == 0);
    ds.msg_qbytes = 4; /* also bounds the number of messages without text */
    EXPECT(msgctl(id, IPC_SET, &ds) == 0);
    for (int i = 0; i < 4; i++)
        EXPECT(msg_put(id, 1, "", IPC_NOWAIT) == 0);
    EXPECT_ERR(msg_put(id, 1, "", IPC_NOWAIT), EAGAIN);
}

TEST(a_receiver_gets_what_it_waits_for)
{
    own_ipc();
    int id = msgget(IPC_PRIVATE, 0600);
    pid_t pid = fork();
    if (pid == 0) {
        struct text m;
        _exit(!(msgrcv(id, &m, 64, 5, 0) == 4 && memcmp(m.text, "five", 4) == 0));
    }
    until_process_asleep(pid);
    EXPECT(msg_put(id, 4, "four", 0) == 0 && msg_put(id, 5, "five", 0) == 0 && status_of(pid) == 0);
    pid = fork();
    if (pid == 0) {
        struct text m;
        EXPECT_ERR(msgrcv(id, &m, 64, 6, 0), EIDRM);
        _exit(0);
    }
    until_process_asleep(pid);
    EXPECT(msgctl(id, IPC_RMID, NULL) == 0 && status_of(pid) == 0);
}

/* ---- /proc ---- */

static bool file_has(const char *path, const char *text)
{
    char buf[4096];
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);

    close(fd);
    EXPECT(n >= 0);
    buf[n] = 0;
    return strstr(buf, text);
}

TEST(proc_lists_the_namespaces_objects)
{
    char line[64];
    own_ipc();
    int shm = shmget(0x1234, 4096, IPC_CREAT | 0600);
    int sem = semget(0x1235, 2, IPC_CREAT | 0640), msg = msgget(0x1236, IPC_CREAT | 0604);
    snprintf(line, sizeof(line), "%10d %10d   600                  4096", 0x1234, shm);
    EXPECT(file_has("/proc/sysvipc/shm", line));
    snprintf(line, sizeof(line), "%10d %10d   640          2", 0x1235, sem);
    EXPECT(file_has("/proc/sysvipc/sem", line));
    snprintf(line, sizeof(line), "%10d %10d   604           0          0", 0x1236, msg);
    EXPECT(file_has("/proc/sysvipc/msg", line));
    struct shm_info use;
    EXPECT(shmctl(0, SHM_INFO, (struct shmid_ds *)&use) >= 0 && use.used_ids == 1 &&
           use.shm_tot == 1);
    struct shmid_ds ds;
    EXPECT(shmctl(0, SHM_STAT, &ds) == shm && ds.shm_segsz == 4096);
    own_ipc();
    EXPECT(!file_has("/proc/sysvipc/shm", "4096"));
}

TEST(limits_are_the_namespaces)
{
    own_ipc();
    EXPECT(file_has("/proc/sys/kernel/sem", "32000\t1024000000\t500\t32000\n"));
    EXPECT(file_has("/proc/sys/kernel/shmmax", "18446744073692774399\n"));
    EXPECT(file_has("/proc/sys/kernel/shmmni", "4096\n"));
    EXPECT(file_has("/proc/sys/kernel/msgmax", "8192\n"));
    int fd = open("/proc/sys/kernel/shmmni", O_WRONLY);
    EXPECT(fd >= 0 && write(fd, "2\n", 2) == 2);
    EXPECT(shmget(IPC_PRIVATE, 1, 0600) >= 0 && shmget(IPC_PRIVATE, 1, 0600) >= 0);
    EXPECT_ERR(shmget(IPC_PRIVATE, 1, 0600), ENOSPC);
    own_ipc();
    EXPECT(file_has("/proc/sys/kernel/shmmni", "4096\n"));
    fd = open("/proc/sys/kernel/shmmax", O_WRONLY);
    EXPECT(fd >= 0 && write(fd, "18446744073709551615", 20) == 20);
    EXPECT_ERR(shmget(IPC_PRIVATE, SIZE_MAX, 0600), ENOSPC);
}

TEST(detaching_a_removed_segment_in_pieces)
{
    own_ipc();
    for (int i = 0; i < 50; i++) {
        int id = shmget(IPC_PRIVATE, 3 * 4096, IPC_CREAT | 0600);
        char *p = shmat(id, NULL, 0);
        EXPECT(p != (void *)-1 && shmctl(id, IPC_RMID, NULL) == 0);
        EXPECT(munmap(p + 4096, 4096) == 0 && shmdt(p) == 0);
        EXPECT_ERR(shmdt(p), EINVAL);
        EXPECT(mincore(p + 8192, 4096, (unsigned char *)&id) == -1 && errno == ENOMEM);
    }
}

TEST(a_long_message_keeps_no_short_one_waiting)
{
    static struct {
        long type;
        char text[8192];
    } m = {1, ""};
    static const size_t sizes[] = {8192, 50};
    pid_t sender[2];

    own_ipc();
    int id = msgget(IPC_PRIVATE, 0600);
    EXPECT(msgsnd(id, &m, 8192, 0) == 0 && msgsnd(id, &m, 8092, 0) == 0);
    m.type = 9;
    EXPECT(msgsnd(id, &m, 100, 0) == 0);
    for (int i = 0; i < 2; i++) {
        m.type = 2 + i;
        sender[i] = fork();
        if (sender[i] == 0)
            _exit(msgsnd(id, &m, sizes[i], 0) != 0);
        until_process_asleep(sender[i]);
    }
    EXPECT(msgrcv(id, &m, 100, 9, 0) == 100); /* space for the second alone */
    EXPECT(msgrcv(id, &m, 50, 3, 0) == 50 && status_of(sender[1]) == 0);
    EXPECT(msgctl(id, IPC_RMID, NULL) == 0 && status_of(sender[0]) != 0);
}

/* A sender that is granted space, and finds a receiver instead, passes the space on. */
TEST(space_that_a_sender_does_not_need_is_the_next_ones)
{
    static struct {
        long type;
        char text[8192];
    } big = {1, ""}, got;
    pid_t sender[2], receiver[3];

    own_ipc();
    for (int round = 0; round < 20; round++) {
        int id = msgget(IPC_PRIVATE, 0600);
        EXPECT(msgsnd(id, &big, 8192, 0) == 0 && msgsnd(id, &big, 8192, 0) == 0);
        for (int i = 0; i < 2; i++) {
            sender[i] = fork();
            if (sender[i] == 0)
                _exit(msgsnd(id, &big, 8192, 0) != 0);
            until_process_asleep(sender[i]);
        }
        for (int i = 0; i < 3; i++) {
            receiver[i] = fork();
            if (receiver[i] == 0)
                _exit(msgrcv(id, &got, 8192, 0, 0) != 8192);
        }
        for (int i = 0; i < 3; i++)
            EXPECT(status_of(receiver[i]) == 0);
        EXPECT(msgrcv(id, &got, 8192, 0, 0) == 8192);
        EXPECT(status_of(sender[0]) == 0 && status_of(sender[1]) == 0);
        EXPECT(msgctl(id, IPC_RMID, NULL) == 0);
    }
}
