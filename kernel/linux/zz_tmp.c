#include "proc/up.h"
#include "lib/err.h"
#include "vfs/pseudo.h"
struct cgroup *up_cgroup_of_fd(int fd) { return ERR_PTR(-EBADF); }
void *up_proc_mount_ns(void);
void *up_proc_mount_ns(void) { return NULL; }
