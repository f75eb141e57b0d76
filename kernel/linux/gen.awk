# SPDX-License-Identifier: MIT
# syscalls.tbl -> syscall_table.h: declarations, then SYSCALL(nr, name, "args", handler) lines.
BEGIN { print "/* Generated from kernel/linux/syscalls.tbl. */" }
/^#/ || NF < 2 { next }
{
    n++
    nr[n] = $1; name[n] = $2; args[n] = ($3 == "-") ? "" : $3; has[n] = (NF > 2)
    if (NF > 2) {
        params = "void"
        if (args[n] != "") {
            params = "u64"
            for (i = 1; i < length(args[n]); i++) params = params ", u64"
        }
        print "s64 sys_" $2 "(" params ");"
    }
    if ($1 + 0 > max) max = $1 + 0
}
END {
    print "#define SYSCALL_MAX " max
    print "#define SYSCALL_LIST(IMPLEMENTED, MISSING) \\"
    for (i = 1; i <= n; i++)
        print "    " (has[i] ? "IMPLEMENTED" : "MISSING") "(" nr[i] ", " name[i] ", \"" args[i] "\") \\"
    print ""
}
