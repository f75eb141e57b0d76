#include "proc/up.h"
#include "lib/err.h"
#include "vfs/pseudo.h"
void *up_proc_mount_ns(void);
void *up_proc_mount_ns(void) { return NULL; }
