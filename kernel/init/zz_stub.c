#include "lib/log.h"
#include "arch/x86/up.h"
#include "arch/x86/trap.h"
#include "sched/thread.h"
#include "obj/cred.h"
#define S __attribute__((weak))
struct account; struct cgroup; struct process; struct mount_ns;
S void up_syscall(struct trap_frame *f){panic("x");}
S void up_return_to_user(struct trap_frame *f){}
S void up_user_exception(struct trap_frame *f,unsigned v){}
S int process_start_init(const char *path, const char *const *argv, const char *const *envp){ for(;;) schedule(); }
S const struct cred *up_current_cred(void){return &cred_init;}
S void up_fault_signal(struct trap_frame *f, u64 a, int e, unsigned k){}
S void up_sigpipe(void){}
S void up_cgroup_kill(void){} S int up_oom_kill(void){return 0;} S long up_oom_score(void){return 0;} S void *up_proc_mount_ns(void){return 0;}
S void rcu_synchronize(void){}
S void *up_current_tgid(void){return 0;}
